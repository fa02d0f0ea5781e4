"""Scalar quantization with fixed, equally spaced levels."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.functional import level_value, mean_squared_error, nearest_level
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.estimators import STE, GradientEstimator
from qcodec.rate import code_bits


@final
class ScalarQuantizer(Quantizer):
    """Quantizes each value to the nearest of ``levels`` levels ``(k - (levels - 1) / 2) * step``.

    The four levels -1.5, -0.5, 0.5 and 1.5 of arXiv 2502.04770, section 3, are the default. Sends one code per
    feature and frame (``N_q = D``), ``D * log2(levels)`` bits a frame; the loss ``commitment`` is
    ``mean (z - z_q)^2``.

    Args:
        levels: Number of levels, 2 or more; odd numbers have a level at zero.
        step: Distance between levels, positive.
        estimator: How gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For fewer than two levels or a step that is not positive.

    Example:
        >>> quantizer = ScalarQuantizer(levels=4).eval()
        >>> output = quantizer(torch.tensor([[[0.2, 1.2, -7.0]]]))
        >>> output.z_hat.tolist(), output.bits.tolist()
        ([[[0.5, 1.5, -1.5]]], [[2.0, 2.0, 2.0]])
    """

    def __init__(self, levels: int = 4, step: float = 1.0, estimator: GradientEstimator | None = None) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels={levels} carries no information: give 2 or more")
        if not 0 < step < math.inf:
            raise ValueError(f"step={step} is no distance between levels: give a positive number")
        self.levels, self.step = levels, step
        self.estimator = STE() if estimator is None else estimator

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the number of levels of each channel."""
        return (self.levels,) * channels

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: as the estimator treats them."""
        return self.estimator.entries_independent

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` value by value."""
        check_embedding(z, "ScalarQuantizer", level)
        codes, hard = nearest_level(z.detach(), self.levels, self.step)
        bits = z.new_full((z.shape[0], z.shape[2]), z.shape[1] * code_bits(self.levels), dtype=torch.float32)
        losses = {"commitment": mean_squared_error(z, hard)}
        return QuantizerOutput(self.estimator(z, hard), codes, bits, losses, hard)

    def decode(self, codes: Tensor) -> Tensor:
        """Give the levels' values ``(B, D, T)`` in float32."""
        check_codes(codes, "ScalarQuantizer", self.levels)
        return level_value(codes, self.levels, self.step)
