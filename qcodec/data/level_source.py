"""Synthetic sources of independent values on equally spaced levels."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from qcodec.data.source import SyntheticSource
from qcodec.data.stream import SyntheticStream
from qcodec.functional import level_value, nearest_level
from qcodec.random_streams import BatchStreams
from qcodec.rate import discrete_curve, entropy, rounded_source

_FRAMES, _DRAWS = 2000, 20  # of the reference line, whatever the length of the source's own draws


@dataclass(frozen=True)
class LevelSource(SyntheticSource):
    """Values of one distribution, rounded to the nearest of ``levels`` levels one apart; independent unless said.

    Subclass requirements: a frozen dataclass that says in ``cumulative`` which distribution is rounded.

    Attributes:
        features: Values per frame, the paper's P.
        frames: Frames per draw, the paper's N.
        levels: Number of levels, symmetric about zero.

    Raises:
        ValueError: For sizes below one or fewer than two levels.
    """

    features: int = 30
    frames: int = 2000
    levels: int = 4

    def __post_init__(self) -> None:
        for name, least in (("features", 1), ("frames", 1), ("levels", 2)):
            at_least(name, getattr(self, name), least)

    @abstractmethod
    def cumulative(self, x: Tensor) -> Tensor:
        """Return the cumulative distribution of a value before it is rounded, at each of ``x``, float64."""

    def distribution(self) -> tuple[Tensor, Tensor]:
        """Return the levels and the probability of each, ``(levels,)``, float64."""
        return rounded_source(self.cumulative, self.levels)

    def draw(self, streams: BatchStreams) -> Tensor:
        """Draw targets ``(streams.entries, features, frames)``."""
        uniform = streams.uniform((streams.entries, self.features, self.frames))
        return level_value(self._index(uniform, self.distribution()[1]), self.levels)

    def entropy_bits(self) -> float:
        """Return the entropy in bits per frame."""
        return self.features * float(entropy(self.distribution()[1]))

    def rate_distortion(self) -> tuple[Tensor, Tensor]:
        """Return R(D): bits per frame and squared error per value, from ``(0, variance)`` to ``(entropy, 0)``."""
        rate, distortion = _curve(self)
        return self.features * rate, distortion

    def references(self) -> Mapping[str, float]:
        """Return the squared errors without information, and of a codec that knows the rotation but learns nothing.

        The former is the variance; the latter quantizes the observation ``Y`` itself and decodes by ``Q^T``.
        """
        stream = SyntheticStream(replace(self, frames=_FRAMES), split="val")
        observation = torch.cat([stream.draw(index)[1] for index in range(_DRAWS)])
        rotated = (nearest_level(observation, self.levels)[1] - observation).square().mean()
        return {"zero information": float(_curve(self)[1][0]), "known rotation": float(rotated)}

    def _index(self, uniform: Tensor, probability: Tensor) -> Tensor:
        """Return which level holds each quantile ``uniform``; by comparisons alone, as a GPU can record them."""
        index = torch.zeros_like(uniform)
        for bound in probability.cumsum(0)[:-1].tolist():
            index += uniform >= bound
        return index


@lru_cache
def _curve(source: LevelSource) -> tuple[Tensor, Tensor]:
    return discrete_curve(*source.distribution())


def at_least(name: str, value: float, least: float) -> None:
    """Check a setting of a source.

    Raises:
        ValueError: Where it is below ``least``, or no number.
    """
    if not value >= least:
        raise ValueError(f"data setting source.{name} is {value}: set it to {least} or more")


def at_most(name: str, value: float, most: float, least: float = 0) -> None:
    """Check a setting of a source.

    Raises:
        ValueError: Where it is not from ``least`` to ``most``.
    """
    if not least <= value <= most:
        raise ValueError(f"data setting source.{name} is {value}: set it to a number from {least} to {most}")
