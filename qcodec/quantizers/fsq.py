"""Finite scalar quantization."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.estimators import STE, GradientEstimator
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.rate import code_bits

_MARGIN = 1e-3  # by which the bound exceeds the outermost levels, as in the paper's listing
_MOST = 0.25  # of that margin in levels: the paper's reaches the rounding to a level that is none from 1002 levels on


@final
class FSQ(Quantizer):
    """Finite scalar quantization (arXiv 2309.15505, section 3.1 and appendix A.1): bounded values, rounded.

    A channel of ``L`` levels is bounded to ``b = h tanh(z + s) - o`` with ``h = (L - 1)(1 + 1e-3) / 2``, which is no
    more than ``(L - 1) / 2 + 1/4``, ``o = 1/2`` for an even ``L``, else 0, and ``s = artanh(o / h)``; it is rounded to
    ``q`` and divided by ``floor(L / 2)``, so that the decoder sees values in [-1, 1]. The estimator acts from ``b`` to
    ``q``. Sends one code per channel, ``q + floor(L / 2)``; there are no losses. Computed in float32 or wider, as
    bfloat16 loses codes.

    Args:
        levels: Levels of each channel, 2 or more; one number for the same in all channels.
        estimator: How gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For fewer than two levels.

    Example:
        >>> quantizer = FSQ(levels=(8, 5)).eval()
        >>> output = quantizer(torch.tensor([[[9.0, 0.0], [-9.0, 0.0]]]))
        >>> output.codes.tolist(), output.z_hat[0, 1].tolist()
        ([[[7, 4], [0, 2]]], [-1.0, 0.0])
    """

    reach: Tensor
    offset: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, levels: int | Sequence[int], estimator: GradientEstimator | None = None) -> None:
        super().__init__()
        self.levels = levels if isinstance(levels, int) else tuple(levels)
        if min([levels] if isinstance(levels, int) else levels, default=0) < 2:
            raise ValueError(f"levels={levels} carry no information: give 2 or more for each channel")
        self.estimator = STE() if estimator is None else estimator
        check_is(self.estimator, GradientEstimator, "estimator")
        for name, values in _constants([levels] if isinstance(levels, int) else levels).items():
            self.register_buffer(name, values, persistent=False)

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: as the estimator treats them."""
        return self.estimator.entries_independent

    @property
    def exact(self) -> bool:
        """As the estimator."""
        return self.estimator.exact

    @property
    def receptive_field(self) -> ReceptiveField:
        """No frame but the one itself."""
        return ReceptiveField()

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the levels of each channel.

        Raises:
            ValueError: For another number of channels than there are levels for.
        """
        sizes = (self.levels,) * channels if isinstance(self.levels, int) else self.levels
        if len(sizes) != channels:
            raise ValueError(f"FSQ has levels={sizes} for {len(sizes)} channels, not for an embedding of {channels}")
        return sizes

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the levels."""
        return {"levels": self.levels}

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` value by value."""
        check_embedding(z, "FSQ", level)
        cost = sum(code_bits(size) for size in self.code_sizes(z.shape[1]))
        with full_precision(z):
            bounded = self.bound(z.to(torch.promote_types(z.dtype, torch.float32)))
            rounded = bounded.detach().round()
            z_hat = (self.estimator(bounded, rounded) / self.scale).to(z.dtype)
            z_q = (rounded / self.scale).to(z.dtype)
        bits = z.new_full((z.shape[0], z.shape[2]), cost, dtype=torch.float32)
        return QuantizerOutput(z_hat, (rounded + self.scale).long(), bits, {}, z_q)

    def bound(self, z: Tensor) -> Tensor:
        """Bound the channels of ``z`` ``(B, D, T)`` such that rounding gives as many values as they have levels."""
        return (z + self.shift).tanh() * self.reach - self.offset

    def decode(self, codes: Tensor) -> Tensor:
        """Return the levels' values ``(B, D, T)`` in float32."""
        check_codes(codes, "FSQ")
        check_codes(codes, "FSQ", self.code_sizes(codes.shape[1]))
        return (codes - self.scale) / self.scale


def _constants(levels: Sequence[int]) -> dict[str, Tensor]:
    """Compute what ``bound`` needs of each channel, ``(D, 1)``."""
    reach = [min((size - 1) * (1 + _MARGIN) / 2, (size - 1) / 2 + _MOST) for size in levels]
    offset = [0.0 if size % 2 else 0.5 for size in levels]
    shift = [math.atanh(o / r) for o, r in zip(offset, reach, strict=True)]
    constants = {"reach": reach, "offset": offset, "shift": shift, "scale": [float(size // 2) for size in levels]}
    return {name: torch.tensor(values)[:, None] for name, values in constants.items()}
