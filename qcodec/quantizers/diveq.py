"""Differentiable vector quantization by reparameterisation."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.estimators import GradientEstimator
from qcodec.random_streams import normal_like


@final
class DiVeQ(GradientEstimator):
    r"""Differentiable vector quantization, DiVeQ (arXiv 2509.26469).

    With ``c`` the nearest point and ``v ~ N(0, variance I)`` drawn for each frame, the decoder sees
    ``z + ||c - z|| sg[u / ||u||]`` with ``u = v + c - z``, norms over the features of a frame: nearly ``c``. The
    gradient reaches the encoder and the codebook through ``||c - z||``: with ``g`` the gradient of the output and
    ``e = c - z``, ``z`` gets ``g - <g, u/||u||> e / ||e||`` and ``c`` gets ``<g, u/||u||> e / ||e||``. Computed in
    float32 or wider.

    Args:
        variance: Of the noise in each dimension, not negative; the paper's default.

    Raises:
        ValueError: For a negative variance.

    Example:
        >>> z, c = torch.zeros(1, 2, 1, requires_grad=True), torch.ones(1, 2, 1, requires_grad=True)
        >>> DiVeQ(variance=0.0)(z, c).sum().backward()
        >>> c.grad.flatten()
        tensor([1.0000, 1.0000])
    """

    exact = False

    def __init__(self, variance: float = 1e-3) -> None:
        super().__init__()
        if not 0 <= variance < math.inf:
            raise ValueError(f"variance={variance} is no variance: give 0 or a positive number")
        self.variance = float(variance)

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return a point at the distance of ``z_q`` from ``z``, in nearly its direction."""
        wide = torch.promote_types(z.dtype, torch.float32)
        error = z_q.to(wide) - z.to(wide)
        direction = error.detach()
        if self.variance:
            direction = direction + normal_like(direction) * math.sqrt(self.variance)
        distance = torch.linalg.vector_norm(error, dim=1, keepdim=True)
        length = torch.linalg.vector_norm(direction, dim=1, keepdim=True).clamp_min(torch.finfo(wide).tiny)
        estimate: Tensor = z + (distance * (direction / length)).to(z.dtype)
        return estimate
