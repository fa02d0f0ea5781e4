"""Additive uniform noise in the place of rounding."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.estimators import GradientEstimator
from qcodec.random_streams import uniform_like


@final
class AdditiveUniformNoise(GradientEstimator):
    """Additive uniform noise (Balle et al., arXiv 1611.01704): ``z + step * u``, ``u ~ U(-1/2, 1/2)`` for each value.

    Noise as wide as a quantization step, whatever the codes; the gradient is that of the identity, and the codebook
    gets none. In evaluation values are quantized.

    Args:
        step: Width of the noise, that of the quantizer's steps.

    Raises:
        ValueError: For a step that is not positive.

    Example:
        >>> import torch
        >>> z = torch.zeros(1, 1, 1000)
        >>> bool(AdditiveUniformNoise(step=2.0)(z, z).abs().max() <= 1)
        True
    """

    exact = False

    def __init__(self, step: float = 1.0) -> None:
        super().__init__()
        if not 0 < step < math.inf:
            raise ValueError(f"step={step} is no width of the noise: give a positive number")
        self.step = float(step)

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the noisy embedding with the gradient of the identity."""
        wide = z.detach().to(torch.promote_types(z.dtype, torch.float32))
        return z + (self.step * (uniform_like(wide, z.shape) - 0.5)).to(z.dtype)
