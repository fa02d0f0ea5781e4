"""Sampling of codes with the gradient of the identity."""

from typing import final

from torch import Tensor

from qcodec.functional import straight_through
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import LogitEstimator, best, perturbed
from qcodec.schedules import Schedule


@final
class StochasticSTE(LogitEstimator):
    """Straight-through estimator of a stochastic choice (Bengio et al., arXiv 1308.3432), over a codebook.

    A code is sampled from ``softmax(sharpness * logits)``, of minus squared distances. The decoder sees its point
    exactly; the embedding gets the gradient of the output unchanged, and the codebook none. In evaluation the nearest
    point is taken.

    Args:
        sharpness: Of the distribution that is sampled, positive, or a schedule of it: the inverse of twice its
            variance.

    Raises:
        ValueError: For a number that is not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = ScalarQuantizer(4, estimator=StochasticSTE(sharpness=8.0))
    """

    exact = True

    def __init__(self, sharpness: float | Schedule = 1.0) -> None:
        super().__init__({"sharpness": sharpness})

    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Sample points, which the decoder sees."""
        codes = best(perturbed(self.theta(z, codebook).detach()))
        z_q = codebook.lookup(codes).to(z.dtype)
        return Selected(codes, z_q, straight_through(z, z_q.detach()))
