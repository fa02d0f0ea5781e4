"""The one interface that every quantizer has."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.rebuild import Rebuildable, settings_of
from qcodec.quantizers.receptive_field import ReceptiveField


@dataclass(frozen=True)
class QuantizerOutput:
    """What a quantizer returns for an embedding ``(B, D, T)``: batch, feature, frame.

    Attributes:
        z_hat: ``(B, D, T)`` decoder input: trainable in training, exactly the quantized value in evaluation.
        codes: ``(B, N, T)`` int64, N codes a frame; -1 where a code is not sent.
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

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for codes of several rates, which neither rates nor files here know."""
        frames = self.z_hat.shape[-1]
        if not isinstance(self.codes, Tensor) or self.codes.shape[-1] != frames:
            lengths = sorted({code.shape[-1] for code in self.codes})
            raise ValueError(
                f"codes of {lengths} frames for an embedding of {frames}: codes of several rates in one stream, as in "
                "SNAC (arXiv 2410.14411), are not supported: return one tensor (B, N, T)"
            )


class Quantizer(Rebuildable, ABC, nn.Module):
    """Maps an embedding ``(B, D, T)`` to codes and back; how gradients pass is an estimator's matter.

    A subclass writes ``forward`` and ``decode``. With ``code_sizes`` its codes can be written to a file, and codebook
    usage is logged; with ``entries_independent`` its seeds share one call on the surrogate; with ``receptive_field``
    recordings are encoded in windows. A quantizer with a rate dial keeps its ``RateAllocator`` as ``self.allocator``.
    A wrapper derives from ``QuantizerWrapper``, which passes all questions on.
    """

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
        """Return the embedding ``(B, D, T)`` of codes ``(B, N, T)``: in evaluation ``z_hat``, bit for bit."""

    def code_sizes(self, channels: int) -> tuple[int, ...] | None:
        """Return the number of symbols of each code of a frame, for an embedding of ``channels`` channels.

        ``None``, the default, says that codes do not determine ``z_hat``: they are written to no file.
        """
        return None

    @property
    def allocator(self) -> RateAllocator | None:
        """What decides how many codes of a frame are sent; ``None`` where the rate is one."""
        return cast("RateAllocator | None", self._modules.get("allocator"))

    @allocator.setter
    def allocator(self, allocator: RateAllocator | None) -> None:
        self._modules["allocator"] = allocator

    def with_allocator(self, allocator: RateAllocator) -> Self:
        """Return a quantizer of the same parts, not copies, under another allocator, in the same mode.

        So a quantizer that was trained with importance serves a constant rate as well.

        Raises:
            ValueError: For a quantizer of one rate.
        """
        if self.allocator is None:
            raise ValueError(f"{type(self).__name__} has one rate only: there is no allocator to exchange")
        return self._with(allocator=allocator.train(self.training))

    def deployed(self) -> "Quantizer":
        """Return what acts in evaluation: itself, but for quantizers that only training needs."""
        return self

    @property
    def entries_independent(self) -> bool:
        """Whether the entries of a batch are treated apart and every call in training does the same, on tensors alone.

        Random numbers then come from ``qcodec.random_streams`` only, there are no weights, and what else is remembered
        lies in buffers and is the same for all entries. Only so may codecs that train side by side share one call and
        one instance, and may a GPU repeat a captured call. A subclass that can promise it overrides this.
        """
        return False

    @property
    def exact(self) -> bool:
        """Whether ``z_hat`` equals ``z_q`` in training too; a subclass that can promise it overrides this."""
        return False

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """Frames around a frame that its codes, and its decoded embedding, depend on, the allocator apart.

        ``None``, the default: on the whole recording, which is then encoded and decoded at once.
        """
        return None

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return what ``decode`` depends on, by name: tensors and plain values, of which a file's fingerprint is made.

        All settings and all tensors of the state, unless a subclass knows which of them only encode.
        """
        return {"settings": settings_of(self), **self.state_dict()}

    def dac_arguments(self) -> Mapping[str, Any] | None:
        """Return the arguments of the ``dac.nn.quantize.ResidualVectorQuantize`` that has the same weights and codes.

        ``None``, the default, where there is none.
        """
        return None

    def _with(self, **parts: nn.Module) -> Self:
        """Return a shallow copy with other submodules."""
        other = copy.copy(self)
        other._modules = {**self._modules, **parts}
        return other


class QuantizerWrapper(Quantizer, ABC):
    """A quantizer around another one that has its codes; a subclass writes ``forward``.

    Args:
        quantizer: The other one.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        check_is(quantizer, Quantizer, "quantizer")
        self.quantizer = quantizer

    def decode(self, codes: Tensor) -> Tensor:
        """Return what the other quantizer decodes."""
        return self.quantizer.decode(codes)

    def code_sizes(self, channels: int) -> tuple[int, ...] | None:
        """Return those of the other quantizer."""
        return self.quantizer.code_sizes(channels)

    @property
    def allocator(self) -> RateAllocator | None:
        """Allocator of the other quantizer."""
        return self.quantizer.allocator

    @allocator.setter
    def allocator(self, allocator: RateAllocator | None) -> None:
        self.quantizer.allocator = allocator

    def with_allocator(self, allocator: RateAllocator) -> Self:
        """Return a wrapper of the other quantizer under another allocator."""
        return self._with(quantizer=self.quantizer.with_allocator(allocator))

    def deployed(self) -> Quantizer:
        """Return what acts of the other quantizer in evaluation."""
        return self.quantizer.deployed()

    @property
    def entries_independent(self) -> bool:
        """As the other quantizer."""
        return self.quantizer.entries_independent

    @property
    def exact(self) -> bool:
        """As the other quantizer."""
        return self.quantizer.exact

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """That of the other quantizer."""
        return self.quantizer.receptive_field

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the other quantizer."""
        return self.quantizer.decoder_identity()


def quantized_value(after: Callable[[Tensor], Tensor], z_hat: Tensor, z_q: Tensor, same: bool) -> Tensor:
    """Return what ``after`` makes of a quantized value, detached; where ``z_hat`` was made of it, that."""
    if same:
        return z_hat.detach()
    with torch.no_grad():
        return after(z_q)


def check_embedding(z: Tensor, owner: str, level: float | None = None) -> None:
    """Raise ``ValueError`` unless ``z`` is a floating ``(B, D, T)`` tensor, not empty, and no rate is asked for."""
    if z.dim() != 3 or not z.is_floating_point():
        raise ValueError(
            f"{owner} takes a floating embedding of shape (B, D, T), not {z.dtype} of shape {tuple(z.shape)}: "
            "add the missing dimension or convert it"
        )
    if z.numel() == 0:
        raise ValueError(f"{owner} takes an embedding of one frame or more, not of shape {tuple(z.shape)}")
    if level is not None:
        raise ValueError(f"{owner} has one rate only, so level={level} has no meaning: leave `level` out")


def check_codes(codes: Tensor, owner: str, size: int | Sequence[int] | None = None, lowest: int = 0) -> None:
    """Raise ``ValueError`` unless ``codes`` is an integer ``(B, N, T)`` tensor with values in ``[lowest, size)``.

    ``size`` is one for all codes of a frame, or one for each.
    """
    if codes.dim() != 3 or codes.dtype.is_floating_point or codes.dtype.is_complex:
        raise ValueError(
            f"{owner} decodes integer codes of shape (B, N, T), not {codes.dtype} of shape {tuple(codes.shape)}"
        )
    if isinstance(size, Sequence) and len(set(size)) > 1:
        for index, code in enumerate(codes.unbind(1)):
            check_codes(code.unsqueeze(1), f"{owner}, in code {index} of a frame,", size[index], lowest)
        return
    most = size[0] if isinstance(size, Sequence) else size
    if most is not None and codes.numel() and not lowest <= int(codes.min()) <= int(codes.max()) < most:
        raise ValueError(
            f"{owner} has codes {lowest} to {most - 1}, not {int(codes.min())} to {int(codes.max())}: "
            "decode with the quantizer that encoded"
        )
