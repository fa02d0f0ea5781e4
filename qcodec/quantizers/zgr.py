"""Sampling of codes with the limit of the Gumbel-Rao gradient at temperature zero."""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qcodec.kernels.autograd import apply_function
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import LogitEstimator, at_points, one_hot, perturbed
from qcodec.quantizers.reinmax import through_softmax
from qcodec.schedules import Schedule


@final
class ZGR(LogitEstimator):
    """ZGR (Shekhovtsov, Cold Analysis of Rao-Blackwellized Straight-Through Gumbel-Softmax, ICML 2023).

    With ``theta = sharpness * logits`` (minus squared distances), ``pi = softmax(theta)``, a sample ``k`` of ``pi``
    with its one-hot vector ``D``, the decoder sees the point ``c_k`` exactly. With ``g`` the gradient of the output and
    ``a_j = <g, c_j>``, ``theta`` gets ``(J(pi) a + (D - pi) <D - pi, a>) / 2``: the mean of the straight-through and
    the DARN gradient, where ``J(p) = diag(p) - p p^T``; ``g`` reaches the point ``c_k``. Its mean is the exact
    gradient of any loss that is quadratic in the one-hot vector. There is no temperature, and it is ``ReinMax`` at
    temperature 1, sample by sample. In evaluation the nearest point is taken.

    Args:
        sharpness: Of the distribution that is sampled, positive, or a schedule of it.

    Raises:
        ValueError: For a number that is not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = ScalarQuantizer(4, estimator=ZGR(sharpness=2.0))
    """

    exact = True

    def __init__(self, sharpness: float | Schedule = 1.0) -> None:
        super().__init__({"sharpness": sharpness})

    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Sample points, which the decoder sees."""
        theta = self.theta(z, codebook)
        codes = perturbed(theta.detach()).argmax(-1)
        return at_points(z, codebook, codes, apply_function(_ZGR, theta, one_hot(codes, theta)))


@final
class _ZGR(torch.autograd.Function):
    """A one-hot vector, with the gradient of ZGR."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, sample: Tensor) -> Tensor:
        """Return the sample."""
        ctx.save_for_backward(theta, sample)
        return sample.view_as(sample)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the mean of the straight-through and the DARN gradient."""
        theta, sample = ctx.saved_tensors
        p = theta.softmax(-1)
        apart = sample - p
        return (through_softmax(p, grad) + apart * (apart * grad).sum(-1, keepdim=True)) / 2, None
