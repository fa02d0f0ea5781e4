"""What the estimators that work from a codebook's logits share: settings that follow schedules, and sampling."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from qcodec.functional import straight_through
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Estimator, Selected
from qcodec.quantizers.scheduled import Scheduled
from qcodec.random_streams import uniform_like
from qcodec.schedules import Schedule

LEAST_TEMPERATURE = 1e-6


class LogitEstimator(Scheduled, Estimator, ABC):
    """An estimator that chooses by the logits of a codebook; a subclass writes ``choose`` and names its settings.

    In evaluation the nearest point is taken. ``residual_vq`` builds an estimator for each stage, so that each counts
    its own calls.

    Args:
        settings: Positive numbers, or schedules of them, by name.

    Raises:
        ValueError: For a number that is not positive.
    """

    def __init__(self, settings: Mapping[str, float | Schedule]) -> None:
        super().__init__()
        self.take_settings(settings)

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart, on tensors alone: not where a setting follows a schedule."""
        return not self.scheduled

    def theta(self, z: Tensor, codebook: Codebook) -> Tensor:
        """Compute ``sharpness`` times the logits ``(B, N, T, K)``, shifted so that the greatest of each K is 0.

        What is sampled does not change, noise is added without loss of precision, and none overflows.
        """
        logits = codebook.logits(z)
        return self.setting("sharpness") * (logits - logits.detach().amax(-1, keepdim=True))

    @final
    def select(self, z: Tensor, codebook: Codebook) -> Selected:
        """Choose points in training, take the nearest in evaluation."""
        if not self.training:
            codes, z_q = codebook.quantize(z)
            return Selected(codes, z_q, z_q.detach())
        selected = self.choose(z, codebook)
        self.count_update()
        return selected

    @abstractmethod
    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Choose points of ``codebook`` for ``z`` ``(B, N d, T)`` in training."""


def perturbed(theta: Tensor) -> Tensor:
    """Add Gumbel noise to logits ``(..., K)``: their argmax is then a sample of their softmax."""
    return theta - exponential_like(theta).log()


def exponential_like(theta: Tensor) -> Tensor:
    """Draw exponential numbers of mean 1, above 0, shaped as logits ``(..., T, K)`` and lying in memory as they do."""
    tiny = torch.finfo(theta.dtype).tiny
    return uniform_like(theta, theta.mT.shape).mT.clamp_min(tiny).log().neg().clamp_min(tiny)


def tempered_softmax(logits: Tensor, temperature: float) -> Tensor:
    """Compute ``softmax(logits / temperature)`` over the last dimension, of temperatures of 1e-6 or more.

    Lower ones count as 1e-6. The greatest logit is subtracted first, so that none overflows.
    """
    shifted = logits - logits.detach().amax(-1, keepdim=True)
    return softmax(shifted / max(temperature, LEAST_TEMPERATURE))


def softmax(logits: Tensor) -> Tensor:
    """Compute ``softmax(logits)`` over the last dimension of ``(..., T, K)``, with frames side by side in memory."""
    return logits.mT.softmax(-2).mT


def best(logits: Tensor) -> Tensor:
    """Return the codes ``(..., T)`` of the greatest logits ``(..., T, K)``."""
    return logits.mT.max(-2).indices


def one_hot(codes: Tensor, weights: Tensor) -> Tensor:
    """Return one-hot vectors of codes ``(..., T)`` shaped and typed as ``weights`` ``(..., T, K)``."""
    points = torch.arange(weights.shape[-1], device=codes.device).unsqueeze(-1)
    return (codes.unsqueeze(-2) == points).to(weights.dtype).mT


def at_points(z: Tensor, codebook: Codebook, codes: Tensor, weights: Tensor) -> Selected:
    """Return the points of codes exactly, with the gradient of the mean of all points by weights.

    Args:
        z: ``(B, N d, T)`` embedding.
        codebook: The codebook.
        codes: ``(B, N, T)``.
        weights: ``(B, N, T, K)`` whose values are ``one_hot(codes)``, with any gradient.
    """
    z_q = codebook.lookup(codes).to(z.dtype)
    return Selected(codes, z_q, straight_through(codebook.mix(weights).to(z.dtype), z_q.detach()))
