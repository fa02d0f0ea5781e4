"""The rotation trick for vector quantization."""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qcodec.kernels.autograd import apply_function
from qcodec.quantizers.estimators import GradientEstimator


@final
class RotationTrick(GradientEstimator):
    r"""Rotation trick (Fifty et al., arXiv 2410.06424): ``z_q`` as a rotated and rescaled ``z``, both held constant.

    In each frame, with ``c`` the nearest point and ``R`` the rotation in the plane of ``z`` and ``c`` that takes the
    direction of ``z`` to that of ``c``, the decoder sees ``sg[||c|| / ||z|| R] z``, whose value is ``c``: exactly that
    is returned. With ``g`` the gradient of the output, hats for unit vectors and ``r`` the unit vector along ``z^ +
    c^``, ``z`` gets ``||c|| / ||z|| R^T g`` with ``R^T g = g - 2 r <r, g> + 2 z^ <c^, g>``; the codebook gets none.
    Computed in float32 or wider.

    Where ``z`` and ``c`` are antiparallel, to the root of the rounding error, no rotation is singled out and ``R`` is
    the identity; where ``z`` is zero beside ``c``, ``z`` gets ``g``.

    Raises:
        ValueError: For an embedding of one dimension, in which nothing rotates.

    Example:
        >>> z = torch.tensor([[[1.0], [0.0]]], requires_grad=True)
        >>> (RotationTrick()(z, torch.tensor([[[0.0], [2.0]]]))[:, 1]).sum().backward()
        >>> z.grad.round().flatten()
        tensor([2., 0.])
    """

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return ``z_q`` with the gradient of a rotation."""
        if z.shape[1] < 2:
            raise ValueError(
                "RotationTrick rotates vectors of 2 dimensions or more, not of 1: give codebooks more dimensions, or "
                "take another estimator"
            )
        return apply_function(_Rotation, z, z_q.detach())


@final
class _Rotation(torch.autograd.Function):
    """The quantized value, with the gradient of the rotation that makes it of the embedding."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor) -> Tensor:
        """Return ``z_q``."""
        ctx.save_for_backward(z, z_q)
        return z_q.view_as(z_q)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the rotated and rescaled gradient."""
        z, z_q = ctx.saved_tensors
        wide = torch.promote_types(z.dtype, torch.float32)
        eps = torch.finfo(wide).eps
        g = grad.to(wide)
        (one, length), (other, reach) = _unit(z.to(wide)), _unit(z_q.to(wide))
        r, bisector = _unit(one + other)
        rotated = g - 2 * r * _inner(r, g) + 2 * one * _inner(other, g)
        scaled = torch.where(bisector > eps**0.5, rotated, g) * (reach / length)
        return torch.where(length > eps * reach, scaled, g).to(z.dtype), None


def _unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit vectors of ``(B, D, T)`` and their lengths ``(B, 1, T)``, above zero."""
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return x / length, length


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)
