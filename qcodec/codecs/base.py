"""What every codec offers around a quantizer."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from qcodec.codecs.without_tf32 import without_tf32
from qcodec.quantizers.base import Quantizer, QuantizerOutput
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.rebuild import Rebuildable, settings_of
from qcodec.quantizers.receptive_field import ReceptiveField


@dataclass(frozen=True)
class Embedding:
    """What an encoder returns.

    Attributes:
        z: ``(B, D, T)`` what is quantized.
        features: ``(B, C, T)`` what bits may be allocated by.
    """

    z: Tensor
    features: Tensor


class Codec(Rebuildable, ABC, nn.Module):
    """An encoder and a decoder; the quantizer between them is chosen apart from both."""

    @abstractmethod
    def embed(self, x: Tensor) -> Embedding:
        """Return the embedding of a signal."""

    @abstractmethod
    def synthesize(self, z_hat: Tensor) -> Tensor:
        """Return the signal of a quantized embedding ``(B, D, T)``."""


@dataclass(frozen=True)
class AudioOutput:
    """What an ``AudioCodec`` returns for audio ``(B, 1, L)``.

    Attributes:
        audio: ``(B, 1, L)`` the decoded signal.
        z: ``(B, D, T)`` the encoder's output.
        quantized: The quantizer's output.
    """

    audio: Tensor
    z: Tensor
    quantized: QuantizerOutput


class AudioCodec(Codec):
    """A codec of audio ``(B, 1, L)``, which it pads at its end to whole frames.

    A subclass writes ``embed``, ``synthesize``, ``hop_length`` and ``channels``, and sets the attributes. One that
    states its receptive fields encodes recordings of any length in constant memory; else a recording is encoded whole.

    Attributes:
        quantizer: What lies between encoder and decoder.
        sample_rate: Sampling rate in Hz that the codec is for.
    """

    quantizer: Quantizer
    sample_rate: int

    @property
    @abstractmethod
    def hop_length(self) -> int:
        """Samples per frame."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the embedding, D."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def encoder_field(self) -> ReceptiveField | None:
        """Frames around a frame that its embedding and features depend on; ``None`` for the whole recording."""
        return None

    @property
    def decoder_field(self) -> ReceptiveField | None:
        """Frames around a frame that its samples depend on; ``None`` for the whole recording."""
        return None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy, also after a forward: what that left on a module, such as a normalized weight, is detached."""
        for module in self.modules():
            for value in vars(module).values():
                if isinstance(value, Tensor) and not value.is_leaf:
                    memo[id(value)] = value.detach().clone()
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def forward(self, x: Tensor, level: float | None = None) -> AudioOutput:
        """Encode, quantize and decode audio ``(B, 1, L)``; ``level`` is the quantizer's rate dial in evaluation."""
        embedding = self.embed(x)
        quantized: QuantizerOutput = self.quantizer(embedding.z, features=embedding.features, level=level)
        return AudioOutput(self.synthesize(quantized.z_hat)[..., : x.shape[-1]], embedding.z, quantized)

    @torch.no_grad()
    def encode(self, audio: Tensor, level: float | None = None) -> Tensor:
        """Return the codes ``(B, N, T)`` of audio ``(B, 1, L)``, as in evaluation; -1 where a code is not sent."""
        with without_tf32(), _evaluating(self):
            embedding = self.embed(audio)
            output: QuantizerOutput = self.quantizer.deployed()(embedding.z, features=embedding.features, level=level)
        return output.codes

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return the audio ``(B, 1, T * hop_length)`` of codes ``(B, N, T)``.

        Raises:
            TypeError: For an embedding, which is for ``synthesize``, or another object.
        """
        check_is(codes, Tensor, "codes")
        if codes.is_floating_point():
            raise TypeError(f"codes are whole numbers, not {codes.dtype}: give an embedding to `synthesize` instead")
        with without_tf32(), _evaluating(self):
            return self.synthesize(self.quantizer.deployed().decode(codes))

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return what ``synthesize`` depends on, by name: tensors and plain values, for a file's fingerprint.

        All settings and all tensors but the quantizer's, unless a subclass knows which of them only encode.
        """
        settings = {name: settings_of(value) for name, value in self.arguments().items() if name != "quantizer"}
        state = {name: value for name, value in self.state_dict().items() if not name.startswith("quantizer.")}
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}", "settings": settings, **state}

    def dac_arguments(self) -> Mapping[str, Any] | None:
        """Return the arguments of the ``dac.DAC`` that has the same weights; ``None``, the default, where none has."""
        return None


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation for a while: in training codes are drawn, and codebooks learn from them."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, training in modes:
            each.training = training
