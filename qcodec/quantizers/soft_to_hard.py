"""Soft assignment to points that hardens over training."""

from typing import final

from torch import Tensor

from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import LogitEstimator, tempered_softmax
from qcodec.schedules import Schedule


@final
class SoftToHard(LogitEstimator):
    """Soft-to-hard quantization (Agustsson et al., arXiv 1704.00648): the mean of all points by a softmax of distances.

    With ``p = softmax(logits / temperature)``, of minus squared distances, the decoder sees ``sum_j p_j c_j``, to which
    gradients pass, of the embedding and of the codebook; nothing is random. The inverse of the temperature is the
    paper's ``sigma``, which is annealed upwards: a schedule that lowers the temperature does so. Codes are the nearest
    points, to which losses and averages belong; in evaluation they are what the decoder sees. How far ``z_hat`` is from
    ``z_q`` in training says how soft the assignment still is.

    Args:
        temperature: Positive, or a schedule of it; below 1e-6 it counts as 1e-6.

    Raises:
        ValueError: For a number that is not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> from qcodec.schedules import Exponential
        >>> quantizer = ScalarQuantizer(4, estimator=SoftToHard(Exponential(rate=1.0, decay=0.9999)))
    """

    def __init__(self, temperature: float | Schedule = 0.1) -> None:
        super().__init__({"temperature": temperature})

    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Take the nearest points; the decoder sees means."""
        codes, z_q = codebook.quantize(z)
        weights = tempered_softmax(codebook.logits(z), self.setting("temperature"))
        return Selected(codes, z_q, codebook.mix(weights).to(z.dtype))
