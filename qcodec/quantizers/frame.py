"""Quantizers that send one code a frame: the stages of a residual quantizer, and whole quantizers by themselves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import final

import torch
from torch import Tensor

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.rate import code_bits


@dataclass(frozen=True)
class FrameOutput:
    """What a ``FrameQuantizer`` returns, frame by frame, before it is known which frames are sent.

    Attributes:
        codes: ``(B, T)`` int64.
        z_hat: ``(B, D, T)`` as in ``QuantizerOutput``.
        z_q: ``(B, D, T)`` the quantized value, detached.
        latents: ``(B, C, T)`` what was looked up.
        losses: Losses by name, ``(B, T)`` each.
    """

    codes: Tensor
    z_hat: Tensor
    z_q: Tensor
    latents: Tensor
    losses: Mapping[str, Tensor]


class FrameQuantizer(Quantizer, ABC):
    """Quantizes each frame by one code, in the precision of its own weights, whatever that of the embedding.

    A subclass writes ``quantize`` and ``embed_codes``, and sets ``dim`` and ``size``; one whose codebook learns from
    what is sent writes ``observe`` too.

    Attributes:
        dim: Channels of the embedding, D; ``None`` for any.
        size: Number of codes.
    """

    dim: int | None
    size: int

    @abstractmethod
    def quantize(self, z: Tensor) -> FrameOutput:
        """Quantize ``z`` ``(B, D, T)``, which has ``dtype``."""

    @abstractmethod
    def embed_codes(self, codes: Tensor) -> Tensor:
        """Return the embedding ``(B, D, T)`` of codes ``(B, T)``."""

    def observe(self, output: FrameOutput, sent: Tensor) -> None:
        """Learn from an update's frames where ``sent`` ``(B, T)`` is true; by default nothing is learned."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its weights; float32 where it has none."""
        tensors = chain(self.parameters(), self.buffers())
        return next((each.dtype for each in tensors if each.is_floating_point()), torch.float32)

    @property
    def receptive_field(self) -> ReceptiveField:
        """No frame but the one itself."""
        return ReceptiveField()

    @final
    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the number of codes."""
        return (self.size,)

    @final  # type: ignore[misc]  # torch declares `forward` as an attribute
    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` frame by frame; losses are means over the frames."""
        owner = type(self).__name__
        check_embedding(z, owner, level)
        check_channels(z, owner, self.dim)
        with full_precision(z):
            output = self.quantize(z.to(self.dtype))
            if self.training:
                self.observe(output, torch.ones_like(output.codes, dtype=torch.bool))
        losses = {name: loss.mean(1) for name, loss in output.losses.items()}
        bits = z.new_full((z.shape[0], z.shape[2]), code_bits(self.size), dtype=torch.float32)
        z_hat, z_q = output.z_hat.to(z.dtype), output.z_q.to(z.dtype)
        return QuantizerOutput(z_hat, output.codes.unsqueeze(1), bits, losses, z_q, output.latents)

    @final
    def decode(self, codes: Tensor) -> Tensor:
        """Return the embedding ``(B, D, T)`` of codes ``(B, 1, T)``."""
        owner = type(self).__name__
        check_codes(codes, owner, self.size)
        if codes.shape[1] != 1:
            raise ValueError(f"{owner} sends one code a frame, not {codes.shape[1]}: decode with the right quantizer")
        with full_precision(codes):
            return self.embed_codes(codes[:, 0])


def check_channels(z: Tensor, owner: str, dim: int | None) -> None:
    """Raise ``ValueError`` unless ``z`` ``(B, D, T)`` has ``dim`` channels, or any where that is ``None``."""
    if dim is not None and z.shape[1] != dim:
        raise ValueError(f"{owner} was built for dim={dim}, not for an embedding of shape {tuple(z.shape)}")
