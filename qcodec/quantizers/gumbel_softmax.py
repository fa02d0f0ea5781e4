"""Sampling of codes by the Gumbel-softmax."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Estimator, Selected
from qcodec.random_streams import uniform_like


@final
class GumbelSoftmax(Estimator):
    """Gumbel-softmax over a codebook (arXiv 1611.01144, eq. 2), the soft form, as the dVAE of arXiv 2102.12092 trains.

    With ``theta = sharpness * logits`` (minus squared distances), Gumbel noise ``G`` and ``p = softmax((theta + G) /
    temperature)``, the decoder sees the mean of all points by ``p``, to which gradients pass, of the embedding and of
    the codebook. The codes of training are the sample ``argmax(theta + G)``, and losses and averages are those of its
    point. In evaluation the nearest point is taken, which is the argmax of ``theta``.

    Args:
        temperature: Of the softmax, positive; lower ones are nearer to the sample.
        sharpness: Of the distribution that is sampled, positive: the inverse of twice its variance.

    Raises:
        ValueError: For numbers that are not positive.
    """

    def __init__(self, temperature: float = 1.0, sharpness: float = 1.0) -> None:
        super().__init__()
        if not (0 < temperature < math.inf and 0 < sharpness < math.inf):
            raise ValueError(f"temperature={temperature} and sharpness={sharpness} must be positive numbers")
        self.temperature, self.sharpness = float(temperature), float(sharpness)

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def select(self, z: Tensor, codebook: Codebook) -> Selected:
        """Sample points in training, take the nearest in evaluation."""
        if not self.training:
            codes, z_q = codebook.quantize(z)
            return Selected(codes, z_q, z_q.detach())
        theta = self.sharpness * codebook.logits(z)
        uniform = uniform_like(theta, theta.shape).clamp_min(torch.finfo(theta.dtype).tiny)
        perturbed = theta - uniform.log().neg().log()
        codes = perturbed.argmax(-1)
        z_hat = codebook.mix((perturbed / self.temperature).softmax(-1)).to(z.dtype)
        return Selected(codes, codebook.lookup(codes).to(z.dtype), z_hat)
