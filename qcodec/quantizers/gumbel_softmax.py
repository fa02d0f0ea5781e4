"""Sampling of codes by the Gumbel-softmax."""

from typing import final

from torch import Tensor

from qcodec.functional import straight_through
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import LogitEstimator, at_points, best, one_hot, perturbed, tempered_softmax
from qcodec.schedules import Schedule


@final
class GumbelSoftmax(LogitEstimator):
    """Gumbel-softmax over a codebook (arXiv 1611.01144, eq. 2), the soft form, as the dVAE of arXiv 2102.12092 trains.

    With ``theta = sharpness * logits`` (minus squared distances), Gumbel noise ``G`` and ``p = softmax((theta + G) /
    temperature)``, the decoder sees the mean of all points by ``p``, to which gradients pass, of the embedding and of
    the codebook. The codes of training are the sample ``argmax(theta + G)``, and losses and averages are those of its
    point. In evaluation the nearest point is taken, which is the argmax of ``theta``.

    Args:
        temperature: Of the softmax, positive, or a schedule of it; lower ones are nearer to the sample.
        sharpness: Of the distribution that is sampled, positive, or a schedule: the inverse of twice its variance.

    Raises:
        ValueError: For numbers that are not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> from qcodec.schedules import Exponential
        >>> quantizer = ScalarQuantizer(4, estimator=GumbelSoftmax(Exponential(rate=1.0, decay=0.999)))
    """

    def __init__(self, temperature: float | Schedule = 1.0, sharpness: float | Schedule = 1.0) -> None:
        super().__init__({"temperature": temperature, "sharpness": sharpness})

    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Sample points; the decoder sees means."""
        noisy = perturbed(self.theta(z, codebook))
        codes = best(noisy)
        z_hat = codebook.mix(tempered_softmax(noisy, self.setting("temperature"))).to(z.dtype)
        return Selected(codes, codebook.lookup(codes).to(z.dtype), z_hat)


@final
class StraightThroughGumbel(LogitEstimator):
    """Straight-through Gumbel-softmax (arXiv 1611.01144, section 2.2): the sample, with the gradient of the soft form.

    With ``theta`` and ``p`` of ``GumbelSoftmax`` and ``k = argmax(theta + G)``, the decoder sees the point ``c_k``
    exactly. With ``g`` the gradient of the output and ``a_j = <g, c_j>``, ``theta`` gets ``p (a - <p, a>) /
    temperature``, and ``g`` reaches the point ``c_k``. In evaluation the nearest point is taken.

    Args:
        temperature: Of the softmax, positive, or a schedule of it; lower ones mean less bias and more variance.
        sharpness: Of the distribution that is sampled, positive, or a schedule of it.

    Raises:
        ValueError: For numbers that are not positive.

    Example:
        >>> import torch
        >>> from qcodec import ScalarQuantizer
        >>> output = ScalarQuantizer(4, estimator=StraightThroughGumbel(0.5))(torch.randn(1, 8, 10))
        >>> bool((output.z_hat == output.z_q).all())
        True
    """

    exact = True

    def __init__(self, temperature: float | Schedule = 1.0, sharpness: float | Schedule = 1.0) -> None:
        super().__init__({"temperature": temperature, "sharpness": sharpness})

    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Sample points, which the decoder sees."""
        noisy = perturbed(self.theta(z, codebook))
        codes = best(noisy)
        soft = tempered_softmax(noisy, self.setting("temperature"))
        return at_points(z, codebook, codes, straight_through(soft, one_hot(codes, soft)))
