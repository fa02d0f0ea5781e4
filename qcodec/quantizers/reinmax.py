"""Sampling of codes with a gradient of second-order accuracy."""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qcodec.kernels.autograd import apply_function
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import (
    LogitEstimator,
    at_points,
    best,
    one_hot,
    perturbed,
    softmax,
    tempered_softmax,
)
from qcodec.schedules import Schedule


@final
class ReinMax(LogitEstimator):
    """ReinMax (Liu et al., arXiv 2304.08612): a sample of the codebook, with a gradient by Heun's method.

    With ``theta = sharpness * logits`` (minus squared distances), ``pi = softmax(theta)``, a sample ``k`` of ``pi``
    with its one-hot vector ``D``, the decoder sees the point ``c_k`` exactly. With ``g`` the gradient of the output,
    ``a_j = <g, c_j>``, ``m = (softmax(theta / temperature) + D) / 2`` and ``J(p) = diag(p) - p p^T``, ``theta`` gets
    ``2 J(m) a - J(pi) a / 2``, and ``g`` reaches the point ``c_k``. At temperature 1 its mean is the exact gradient of
    any loss that is quadratic in the one-hot vector. In evaluation the nearest point is taken.

    Args:
        temperature: Of the softmax in ``m``, positive, or a schedule of it; 1 or more in the paper.
        sharpness: Of the distribution that is sampled, positive, or a schedule of it.

    Raises:
        ValueError: For numbers that are not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = ScalarQuantizer(4, estimator=ReinMax(temperature=1.1, sharpness=2.0))
    """

    exact = True

    def __init__(self, temperature: float | Schedule = 1.0, sharpness: float | Schedule = 1.0) -> None:
        super().__init__({"temperature": temperature, "sharpness": sharpness})

    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Sample points, which the decoder sees."""
        return sampled(z, codebook, self.theta(z, codebook), self.setting("temperature"))


def sampled(z: Tensor, codebook: Codebook, theta: Tensor, temperature: float) -> Selected:
    """Sample points of ``codebook`` by ``theta`` ``(B, N, T, K)``, with the gradient of ReinMax."""
    codes = best(perturbed(theta.detach()))
    return at_points(z, codebook, codes, apply_function(_ReinMax, theta, one_hot(codes, theta), temperature))


@final
class _ReinMax(torch.autograd.Function):
    """A one-hot vector, with the gradient of ReinMax."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, sample: Tensor, temperature: float) -> Tensor:
        """Return the sample."""
        ctx.save_for_backward(theta, sample)
        ctx.temperature = temperature
        return sample.view_as(sample)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return ``2 J(m) a - J(pi) a / 2``."""
        theta, sample = ctx.saved_tensors
        middle = (tempered_softmax(theta, ctx.temperature) + sample) / 2
        return 2 * _through_softmax(middle, grad) - _through_softmax(softmax(theta), grad) / 2, None, None


def _through_softmax(p: Tensor, grad: Tensor) -> Tensor:
    """Multiply ``diag(p) - p p^T``, the derivative of a softmax of value ``p`` ``(..., K)``, with a gradient."""
    return p * (grad - (p * grad).sum(-1, keepdim=True))
