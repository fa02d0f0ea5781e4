"""Nearest points with a gradient that keeps to the simplex."""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qcodec.functional import project_to_simplex
from qcodec.kernels.autograd import apply_function
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import LogitEstimator, at_points, one_hot
from qcodec.schedules import Schedule


@final
class SPIGOT(LogitEstimator):
    """SPIGOT (Peng et al., arXiv 1805.04658): the nearest point, with a projected gradient step as the gradient.

    With ``k`` the code of the nearest point and ``D`` its one-hot vector, the decoder sees the point ``c_k`` exactly.
    With ``g`` the gradient of the output and ``a_j = <g, c_j>``, the logits (minus squared distances, times
    ``sharpness``) get ``D - P(D - step a)`` with ``P`` the Euclidean projection onto the probability simplex, and ``g``
    reaches the point ``c_k``. The logits' gradient is no longer than ``sqrt(2)`` however large ``g`` is, and zero where
    no other point is better by the loss to first order; it grows with ``step``, by which it is not divided.

    Args:
        step: Length of the gradient step, positive, or a schedule of it. What is right depends on the scale of the
            loss and its gradients.
        sharpness: Factor of the logits, positive, or a schedule of it; here it scales the gradient alone.

    Raises:
        ValueError: For numbers that are not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = ScalarQuantizer(4, estimator=SPIGOT(step=100.0))
    """

    exact = True

    def __init__(self, step: float | Schedule = 1.0, sharpness: float | Schedule = 1.0) -> None:
        super().__init__({"step": step, "sharpness": sharpness})

    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Take the nearest points, which the decoder sees."""
        theta, codes = self.theta(z, codebook), codebook.nearest(z)
        weights = apply_function(_Spigot, theta, one_hot(codes, theta), self.setting("step"))
        return at_points(z, codebook, codes, weights)


@final
class _Spigot(torch.autograd.Function):
    """A one-hot vector, with the gradient of SPIGOT."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, vertex: Tensor, step: float) -> Tensor:
        """Return the one-hot vector."""
        ctx.save_for_backward(vertex)
        ctx.step = step
        return vertex.view_as(vertex)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return what the projected step takes away."""
        (vertex,) = ctx.saved_tensors
        return vertex - project_to_simplex(vertex - ctx.step * grad), None, None
