"""Sampling of codes with the limit of the Gumbel-Rao gradient at temperature zero."""

from typing import final

from torch import Tensor

from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import LogitEstimator
from qcodec.quantizers.reinmax import sampled
from qcodec.schedules import Schedule


@final
class ZGR(LogitEstimator):
    """ZGR: a sample, with the mean of two gradients (Shekhovtsov, Cold Analysis of Rao-Blackwellized ..., ICML 2023).

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
        return sampled(z, codebook, self.theta(z, codebook), temperature=1.0)
