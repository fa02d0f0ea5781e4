"""Scalar quantization with fixed, equally spaced levels."""

from typing import final

from torch import Tensor

from qcodec.functional import mean_squared_error
from qcodec.quantizers.base import QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.estimators import STE, Estimator
from qcodec.quantizers.level_quantizer import LevelQuantizer


@final
class ScalarQuantizer(LevelQuantizer):
    """Quantizes each value to the nearest of equally spaced levels (arXiv 2502.04770, section 3).

    Level ``k`` is ``(k - (levels - 1) / 2) * step``; -1.5, -0.5, 0.5 and 1.5 are the default. Sends one code per
    feature and frame (``N = D``), ``D * log2(levels)`` bits a frame; the loss ``commitment`` is ``mean (z - z_q)^2``.

    Args:
        levels: Number of levels, 2 or more; odd numbers have a level at zero.
        step: Distance between levels, positive.
        estimator: How levels are chosen and gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For fewer than two levels or a step that is not positive.

    Example:
        >>> import torch
        >>> quantizer = ScalarQuantizer(levels=4).eval()
        >>> output = quantizer(torch.tensor([[[0.2, 1.2, -7.0]]]))
        >>> output.z_hat.tolist(), output.bits.tolist()
        ([[[0.5, 1.5, -1.5]]], [[2.0, 2.0, 2.0]])
    """

    def __init__(self, levels: int = 4, step: float = 1.0, estimator: Estimator | None = None) -> None:
        super().__init__(levels, step)
        self.estimator = STE() if estimator is None else estimator
        check_is(self.estimator, Estimator, "estimator")

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: as the estimator treats them."""
        return self.estimator.entries_independent

    @property
    def exact(self) -> bool:
        """As the estimator."""
        return self.estimator.exact

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` value by value."""
        check_embedding(z, "ScalarQuantizer", level)
        selected = self.estimator.select(z, self.codebook)
        z_q = selected.z_q.detach()
        losses = {"commitment": mean_squared_error(z, z_q)}
        return QuantizerOutput(selected.z_hat, selected.codes, self.frame_bits(z), losses, z_q)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the levels' values ``(B, D, T)`` in float32."""
        check_codes(codes, "ScalarQuantizer", self.levels)
        return self.codebook.lookup(codes)
