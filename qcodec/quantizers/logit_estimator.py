"""What the estimators that work from a codebook's logits share: settings that follow schedules, and sampling."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from qcodec.functional import straight_through
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Estimator, Selected
from qcodec.random_streams import uniform_like
from qcodec.schedules import Schedule

LEAST_TEMPERATURE = 1e-6


class LogitEstimator(Estimator, ABC):
    """An estimator that chooses by the logits of a codebook; a subclass writes ``choose`` and names its settings.

    In evaluation the nearest point is taken. A setting is a number or a schedule of the update, for which calls in
    training are counted, in the buffer ``updates_done``, kept in checkpoints. An instance that several stages share
    counts each of their calls; ``residual_vq`` builds one for each stage.

    Args:
        settings: Positive numbers, or schedules of them, by name.

    Raises:
        ValueError: For a number that is not positive.
    """

    updates_done: Tensor

    def __init__(self, settings: Mapping[str, float | Schedule]) -> None:
        super().__init__()
        for name, value in settings.items():
            if not isinstance(value, Schedule) and not 0 < value < math.inf:
                raise ValueError(f"{name}={value} must be a positive number, or a schedule of them")
        self._settings = dict(settings)
        self._scheduled = any(isinstance(value, Schedule) for value in settings.values())
        if self._scheduled:
            self.register_buffer("updates_done", torch.zeros((), dtype=torch.int64))

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart, on tensors alone: not where a setting follows a schedule."""
        return not self._scheduled

    def setting(self, name: str) -> float:
        """Return a setting in the present update."""
        value = self._settings[name]
        return value.value(int(self.updates_done)) if isinstance(value, Schedule) else float(value)

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
        if self._scheduled:
            self.updates_done += 1
        return selected

    @abstractmethod
    def choose(self, z: Tensor, codebook: Codebook) -> Selected:
        """Choose points of ``codebook`` for ``z`` ``(B, N d, T)`` in training."""


def perturbed(theta: Tensor) -> Tensor:
    """Add Gumbel noise to logits ``(..., K)``: their argmax is then a sample of their softmax."""
    uniform = uniform_like(theta, theta.shape).clamp_min(torch.finfo(theta.dtype).tiny)
    return theta - uniform.log().neg().log()


def tempered_softmax(logits: Tensor, temperature: float) -> Tensor:
    """Compute ``softmax(logits / temperature)`` over the last dimension, of temperatures of 1e-6 or more.

    Lower ones count as 1e-6. The greatest logit is subtracted first, so that none overflows.
    """
    shifted = logits - logits.detach().amax(-1, keepdim=True)
    return (shifted / max(temperature, LEAST_TEMPERATURE)).softmax(-1)


def one_hot(codes: Tensor, weights: Tensor) -> Tensor:
    """Return one-hot vectors of codes ``(...)`` shaped and typed as ``weights`` ``(..., K)``."""
    return F.one_hot(codes, weights.shape[-1]).to(weights.dtype)


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
