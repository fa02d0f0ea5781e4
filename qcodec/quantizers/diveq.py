"""Differentiable vector quantization by reparameterisation: a point at the error's distance, in a fixed direction."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.functional import straight_through
from qcodec.quantizers.estimators import GradientEstimator
from qcodec.random_streams import normal_like


@final
class DiVeQ(GradientEstimator):
    r"""DiVeQ: the distance to the point along a noisy direction (arXiv 2509.26469).

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
        direction = frame_error(z, z_q).detach()
        if self.variance:
            direction = direction + normal_like(direction) * math.sqrt(self.variance)
        return at_distance(z, z_q, direction)


@final
class DetachedDiVeQ(GradientEstimator):
    r"""DiVeQ without noise (arXiv 2509.26469): ``z + ||c - z|| sg[(c - z) / ||c - z||]``, whose value is ``c`` exactly.

    With ``g`` the gradient of the output and ``u`` the direction from ``z`` to ``c``, ``z`` gets ``g - <g, u> u`` and
    ``c`` gets ``<g, u> u``, norms and products over the features of a frame: what ``ModifiedSTE`` with
    ``scope="frame"``, ``magnitude="rms"`` and ``trains_codebook=True`` passes. Without an error ``z`` gets ``g``.
    Computed in float32 or wider.

    Example:
        >>> z, c = torch.zeros(1, 2, 1, requires_grad=True), torch.tensor([[[0.0], [3.0]]])
        >>> DetachedDiVeQ()(z, c).sum().backward()
        >>> z.grad.flatten()
        tensor([1., 0.])
    """

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return ``z_q`` with the gradient of its distance from ``z``."""
        return straight_through(at_distance(z, z_q, frame_error(z, z_q).detach()), z_q.detach())


def frame_error(z: Tensor, z_q: Tensor) -> Tensor:
    """Return ``z_q - z`` in float32 or wider."""
    wide = torch.promote_types(z.dtype, torch.float32)
    return z_q.to(wide) - z.to(wide)


def at_distance(z: Tensor, z_q: Tensor, direction: Tensor) -> Tensor:
    """Move each frame of ``z`` in a direction, by its distance from ``z_q``, to which alone gradients pass.

    Args:
        z: ``(B, D, T)`` embedding.
        z_q: ``(B, D, T)`` its quantized value.
        direction: ``(B, D, T)`` in float32 or wider; its length does not matter, and zero moves nothing.

    Returns:
        ``z + ||z_q - z|| direction / ||direction||`` in the dtype of ``z``, norms over D.
    """
    distance = torch.linalg.vector_norm(frame_error(z, z_q), dim=1, keepdim=True)
    length = torch.linalg.vector_norm(direction, dim=1, keepdim=True).clamp_min(torch.finfo(direction.dtype).tiny)
    moved: Tensor = z + (distance * (direction / length)).to(z.dtype)
    return moved
