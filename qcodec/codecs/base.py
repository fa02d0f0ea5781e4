"""What every codec offers around a quantizer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from qcodec.quantizers.base import Quantizer, QuantizerOutput


@dataclass(frozen=True)
class Embedding:
    """What an encoder gives.

    Attributes:
        z: ``(B, D, T)`` what is quantized.
        features: ``(B, C, T)`` what bits may be allocated by.
    """

    z: Tensor
    features: Tensor


class Codec(ABC, nn.Module):
    """An encoder and a decoder; the quantizer between them is chosen apart from both."""

    @abstractmethod
    def embed(self, x: Tensor) -> Embedding:
        """Return the embedding of a signal."""

    @abstractmethod
    def synthesize(self, z_hat: Tensor) -> Tensor:
        """Return the signal of a quantized embedding ``(B, D, T)``."""


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
        channels: Channels of the embedding.
    """

    quantizer: Quantizer
    sample_rate: int
    channels: int

    @property
    @abstractmethod
    def frame_rate(self) -> float:
        """Frames per second."""

    def forward(self, x: Tensor, level: float | None = None) -> AudioOutput:
        """Encode, quantize and decode audio ``(B, 1, L)``; ``level`` is the quantizer's rate dial in evaluation."""
        embedding = self.embed(x)
        quantized: QuantizerOutput = self.quantizer(embedding.z, features=embedding.features, level=level)
        return AudioOutput(self.synthesize(quantized.z_hat)[..., : x.shape[-1]], embedding.z, quantized)
