"""The one interface that every quantizer has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from qcodec.quantizers.allocators import RateAllocator


@dataclass(frozen=True)
class QuantizerOutput:
    """What a quantizer gives for an embedding ``(B, D, T)``: batch, feature, frame.

    Attributes:
        z_hat: ``(B, D, T)`` decoder input: trainable in training, exactly the quantized value in evaluation.
        codes: ``(B, N_q, T)`` int64; -1 where a stage sends nothing.
        bits: ``(B, T)`` bits per frame that a bitstream must carry, side information included.
        losses: Unweighted losses by name, ``(B,)`` each.
        z_q: ``(B, D, T)`` the quantized value, detached.
        latents: ``(B, C, T)`` the space in which codes are looked up, where it is another than ``z``.
    """

    z_hat: Tensor
    codes: Tensor
    bits: Tensor
    losses: dict[str, Tensor]
    z_q: Tensor
    latents: Tensor | None = None


class Quantizer(ABC, nn.Module):
    """Maps an embedding ``(B, D, T)`` to codes and back; how gradients pass is an estimator's matter."""

    @abstractmethod
    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z``.

        Args:
            z: ``(B, D, T)`` embedding.
            features: ``(B, C, T)`` encoder features, for quantizers that allocate bits by them.
            level: Rate dial in evaluation, for quantizers of variable bitrate; others raise ``ValueError``.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Give the embedding ``(B, D, T)`` of codes ``(B, N_q, T)``: in evaluation ``z_hat``, bit for bit."""

    def code_sizes(self, channels: int) -> tuple[int, ...] | None:
        """Return the symbols of each code of a frame of so many channels; None: codes do not determine ``z_hat``."""
        return None

    @property
    def allocator(self) -> RateAllocator | None:
        """What allocates the bits; None where there is one rate."""
        return None

    @property
    def entries_independent(self) -> bool:
        """Whether the entries of a batch are treated apart and every call in training does the same, on tensors alone.

        Random numbers then come from ``qcodec.random_streams`` only, there are no weights, and what else is remembered
        lies in buffers and is the same for all entries. Only so may codecs that train side by side share one call and
        one instance, and may a GPU repeat a recorded call. A subclass that can promise it overrides this.
        """
        return False


def check_embedding(z: Tensor, owner: str, level: float | None = None) -> None:
    """Raise ``ValueError`` unless ``z`` is a floating ``(B, D, T)`` tensor and no rate is asked for."""
    if z.dim() != 3 or not z.is_floating_point():
        raise ValueError(
            f"{owner} takes a floating embedding of shape (B, D, T), not {z.dtype} of shape {tuple(z.shape)}: "
            "add the missing dimension or convert it"
        )
    if level is not None:
        raise ValueError(f"{owner} has one rate only, so level={level} has no meaning: leave `level` out")


def check_codes(codes: Tensor, owner: str, size: int | None = None, lowest: int = 0) -> None:
    """Raise ``ValueError`` unless ``codes`` is an integer ``(B, N_q, T)`` tensor with values in ``[lowest, size)``."""
    if codes.dim() != 3 or codes.dtype.is_floating_point or codes.dtype.is_complex:
        raise ValueError(
            f"{owner} decodes integer codes of shape (B, N_q, T), not {codes.dtype} of shape {tuple(codes.shape)}"
        )
    if size is not None and codes.numel() and not lowest <= int(codes.min()) <= int(codes.max()) < size:
        raise ValueError(
            f"{owner} has codes {lowest} to {size - 1}, not {int(codes.min())} to {int(codes.max())}: "
            "decode with the quantizer that encoded"
        )
