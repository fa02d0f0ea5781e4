"""What every codec offers around a quantizer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from qcodec.quantizers.base import Quantizer, QuantizerOutput


class Codec(ABC, nn.Module):
    """An encoder and a decoder; the quantizer between them is chosen apart from both."""

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the embedding ``(B, D, T)`` and the features ``(B, C, T)`` that bits may be allocated by."""

    @abstractmethod
    def decode(self, z_hat: Tensor) -> Tensor:
        """Give the signal of a quantized embedding ``(B, D, T)``."""


@dataclass(frozen=True)
class AudioOutput:
    """What an ``AudioCodec`` gives for audio ``(B, 1, L)``.

    Attributes:
        audio: ``(B, 1, L)`` the decoded signal.
        z: ``(B, D, T)`` the encoder's output.
        quantized: The quantizer's output.
    """

    audio: Tensor
    z: Tensor
    quantized: QuantizerOutput


class AudioCodec(Codec):
    """A codec of audio ``(B, 1, L)``.

    Attributes:
        quantizer: What lies between encoder and decoder.
        sample_rate: Sampling rate in Hz that the codec is for.
    """

    quantizer: Quantizer
    sample_rate: int

    @property
    @abstractmethod
    def frame_rate(self) -> float:
        """Frames per second."""

    def forward(self, x: Tensor, level: float | None = None) -> AudioOutput:
        """Encode, quantize and decode audio ``(B, 1, L)``; ``level`` is the quantizer's rate dial in evaluation."""
        z, features = self.encode(x)
        quantized: QuantizerOutput = self.quantizer(z, features=features, level=level)
        return AudioOutput(self.decode(quantized.z_hat)[..., : x.shape[-1]], z, quantized)
