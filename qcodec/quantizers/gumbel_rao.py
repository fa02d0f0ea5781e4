"""Sampling of codes with gradients averaged over the noise that could have led to the same sample."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from qcodec.functional import straight_through
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Selected
from qcodec.quantizers.logit_estimator import (
    LogitEstimator,
    at_points,
    best,
    exponential_like,
    one_hot,
    perturbed,
    softmax,
    tempered_softmax,
)
from qcodec.schedules import Schedule


class _ConditionalEstimator(LogitEstimator, ABC):
    """What the estimators share that draw noise anew, on condition that it leads to the sample that was taken."""

    exact = True

    def __init__(self, temperature: float | Schedule = 1.0, sharpness: float | Schedule = 1.0, draws: int = 10) -> None:
        super().__init__({"temperature": temperature, "sharpness": sharpness})
        if draws < 1:
            raise ValueError(f"draws={draws} average over nothing: give 1 or more")
        self.draws = draws

    @final
    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Sample points, which the decoder sees."""
        theta = self.theta(z, codebook)
        noisy = perturbed(theta.detach())
        codes = best(noisy)
        sample = one_hot(codes, theta)
        return at_points(z, codebook, codes, straight_through(self.relaxed(theta, noisy, sample), sample))

    @abstractmethod
    def relaxed(self, theta: Tensor, noisy: Tensor, sample: Tensor) -> Tensor:
        """Return weights ``(..., T, K)`` whose gradient is that of the estimator.

        Args:
            theta: Logits.
            noisy: The logits with the Gumbel noise whose greatest is the sample.
            sample: Its one-hot vectors.
        """

    def averaged(self, theta: Tensor, centre: Tensor, sample: Tensor) -> Tensor:
        """Return the mean softmax of noisy logits that lead to ``sample``, at ``centre``, attached to ``theta``."""
        temperature, total = self.setting("temperature"), torch.zeros_like(theta)
        for _ in range(self.draws):
            total = total + tempered_softmax(moved(perturbed_to(centre, sample), theta), temperature)
        return total / self.draws


@final
class GumbelRao(_ConditionalEstimator):
    """Gumbel-Rao (Paulus et al., arXiv 2010.04838): straight-through Gumbel-softmax of less variance.

    With ``theta = sharpness * logits`` (minus squared distances) and a sample ``k`` of ``softmax(theta)`` with its
    one-hot vector ``D``, the decoder sees the point ``c_k`` exactly. With ``g`` the gradient of the output and ``a_j =
    <g, c_j>``, ``theta`` gets the mean of ``J(p) a / temperature`` over ``draws`` of ``p = softmax((theta + G) /
    temperature)``, with Gumbel noise ``G`` on condition that its greatest is ``k``, and ``J(p) = diag(p) - p p^T``;
    ``g`` reaches the point ``c_k``. In evaluation the nearest point is taken.

    Args:
        temperature: Of the softmax, positive, or a schedule of it; towards zero the mean is that of ``ZGR``.
        sharpness: Of the distribution that is sampled, positive, or a schedule of it.
        draws: Number of draws of the noise for each sample; the paper's K.

    Raises:
        ValueError: For numbers that are not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = ScalarQuantizer(4, estimator=GumbelRao(temperature=0.5, sharpness=4.0))
    """

    def relaxed(self, theta: Tensor, noisy: Tensor, sample: Tensor) -> Tensor:
        """Return the mean softmax of noisy logits."""
        return self.averaged(theta, theta.detach().log_softmax(-1), sample)


@final
class ReinMaxRao(_ConditionalEstimator):
    """ReinMax-Rao (Wang and Bui, arXiv 2603.08257, eq. 17): ReinMax with its first term averaged as in Gumbel-Rao.

    In the words of ``GumbelRao``, with ``pi = softmax(theta)``, ``theta`` gets the mean of ``2 J(p) a / temperature -
    J(pi) a / 2`` over draws of ``p = softmax((theta_D + G) / temperature)`` with ``theta_D = log((pi + D) / 2)`` and
    noise whose greatest is ``k``. (The second term of eq. 17 is printed at ``theta_D``; it is ReinMax's own.)

    Args:
        temperature: Of the softmax, positive, or a schedule of it.
        sharpness: Of the distribution that is sampled, positive, or a schedule of it.
        draws: Number of draws of the noise for each sample.

    Raises:
        ValueError: For numbers that are not positive.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = ScalarQuantizer(4, estimator=ReinMaxRao(temperature=0.7, sharpness=4.0))
    """

    def relaxed(self, theta: Tensor, noisy: Tensor, sample: Tensor) -> Tensor:
        """Return twice the mean softmax of noisy logits around the sample, less half the softmax."""
        return 2 * self.averaged(theta, towards(theta, sample), sample) - softmax(theta) / 2


@final
class ReinMaxCV(_ConditionalEstimator):
    """ReinMax-CV (Wang and Bui, arXiv 2603.08257, eq. 18): ReinMax with a control variate from the Gumbel-softmax.

    In the words of ``ReinMaxRao``, with ``m = (pi + D) / 2``, ``theta`` gets ``2 J(m) a - J(pi) a / 2 + weight (R -
    S)``, where ``R`` is the mean of ``J(p) a / temperature`` over draws of ``p``, and ``S`` the same term for the noise
    that led to the sample. That noise was drawn for ``theta`` and not for ``theta_D``, so that the mean of ``R - S`` is
    not zero in general: a bias, beside a change of the variance. (The factor 2 is missing in print.)

    Args:
        temperature: Of the softmax, positive, or a schedule of it.
        sharpness: Of the distribution that is sampled, positive, or a schedule of it.
        draws: Number of draws of the noise for each sample.
        weight: Of the control variate, the paper's ``eta``; 0 makes it ``ReinMax`` at temperature 1.

    Raises:
        ValueError: For numbers that are not positive, or a weight that is not finite.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = ScalarQuantizer(4, estimator=ReinMaxCV(temperature=0.7, sharpness=4.0))
    """

    def __init__(
        self,
        temperature: float | Schedule = 1.0,
        sharpness: float | Schedule = 1.0,
        draws: int = 10,
        weight: float = 1.0,
    ) -> None:
        super().__init__(temperature, sharpness, draws)
        if not abs(weight) < float("inf"):
            raise ValueError(f"weight={weight} is no factor of the control variate: give a finite number")
        self.weight = float(weight)

    def relaxed(self, theta: Tensor, noisy: Tensor, sample: Tensor) -> Tensor:
        """Return the weights of ReinMax and of the control variate."""
        centre = towards(theta, sample)
        own = tempered_softmax(moved(noisy - theta.detach() + centre, theta), self.setting("temperature"))
        reinmax = 2 * softmax(moved(centre, theta)) - softmax(theta) / 2
        return reinmax + self.weight * (self.averaged(theta, centre, sample) - own)


def towards(theta: Tensor, sample: Tensor) -> Tensor:
    """Return ``log((softmax(theta) + sample) / 2)``, detached."""
    middle = (softmax(theta.detach()) + sample) / 2
    return middle.clamp_min(torch.finfo(middle.dtype).tiny).log()


def moved(centre: Tensor, theta: Tensor) -> Tensor:
    """Return ``centre`` with the gradient of ``theta``."""
    return centre + (theta - theta.detach())


def perturbed_to(log_p: Tensor, sample: Tensor) -> Tensor:
    """Draw ``log_p + G`` with Gumbel noise on condition that the greatest is that of ``sample``.

    As in arXiv 2010.04838: of exponential numbers ``E``, the greatest is ``-log E_k`` and another
    ``-log(E_j / p_j + E_k)``.

    Args:
        log_p: ``(..., T, K)`` logarithms of probabilities that sum to one.
        sample: One-hot vectors of the same shape.
    """
    exponential = exponential_like(log_p)
    chosen = (exponential * sample).sum(-1, keepdim=True)
    others = torch.logaddexp(exponential.log() - log_p, chosen.log())
    return -torch.where(sample > 0, chosen.log(), others)
