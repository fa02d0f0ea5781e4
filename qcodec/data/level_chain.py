"""A synthetic source that is correlated in time."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from qcodec.data.level_source import LevelSource, at_most
from qcodec.functional import level_value
from qcodec.random_streams import BatchStreams
from qcodec.rate import entropy, parallel_curve

_REACH, _POINTS = 8.0, 4001  # of the integral over a normal variable, in standard deviations


@final
@dataclass(frozen=True)
class LevelChain(LevelSource):
    """Levels that are correlated in time: each feature is a Markov chain with the steps of a rounded AR(1) process.

    Two neighbours in time are distributed as two neighbours of a Gaussian AR(1) process of unit variance that are
    rounded to ``levels`` levels one apart; given its neighbour a level does not depend on those before it. That is what
    sets it apart from the rounded process itself, which is no Markov chain and whose entropy rate has no closed form.
    Features are independent. A single frame is distributed as one of ``RoundedGaussian``: a codec that maps frame by
    frame, as the surrogate does, cannot use what the chain saves.

    Attributes:
        correlation: Correlation of neighbours before they are rounded, -1 to 1; 0 gives white levels.

    Raises:
        ValueError: For a correlation beyond -0.999 to 0.999.

    Example:
        >>> round(LevelChain(correlation=0.0).entropy_bits(), 2), round(LevelChain(correlation=0.9).entropy_bits(), 2)
        (57.04, 33.98)
    """

    correlation: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        at_most("correlation", self.correlation, 0.999, -0.999)

    def cumulative(self, x: Tensor) -> Tensor:
        """Return the cumulative distribution of a standard normal value."""
        below: Tensor = torch.special.ndtr(x)
        return below

    def transition(self) -> Tensor:
        """Return the probability of each next level (columns) for each level (rows), ``(levels, levels)``, float64."""
        return _transition(self.levels, self.correlation)

    def draw(self, streams: BatchStreams) -> Tensor:
        """Draw targets ``(streams.entries, features, frames)``, each chain stationary from its first frame."""
        uniform = streams.uniform((streams.entries, self.features, self.frames))
        # what each frame's draw makes of each level before it; a chain is these maps one after the other
        maps = torch.stack([self._index(uniform, row) for row in self.transition()], dim=-1).long()
        maps[:, :, 0] = self._index(uniform[:, :, 0], self.distribution()[1]).long().unsqueeze(-1)
        length = math.isqrt(self.frames - 1) + 1  # of a part: within parts all levels go side by side
        parts = -(-self.frames // length)
        maps = torch.nn.functional.pad(maps, (0, 0, 0, parts * length - self.frames))
        maps = maps.view(*maps.shape[:2], parts, length, self.levels)
        within = [maps[:, :, :, 0]]
        for step in range(1, length):
            within.append(maps[:, :, :, step].gather(-1, within[-1]))
        start = torch.zeros_like(within[0][:, :, 0, :1])
        starts = []
        for part in range(parts):
            starts.append(start)
            start = within[-1][:, :, part].gather(-1, start)
        chosen = torch.stack(starts, dim=2).unsqueeze(3).expand(-1, -1, -1, length, -1)
        index = torch.stack(within, dim=3).gather(-1, chosen).flatten(2)[:, :, : self.frames]
        return level_value(index.to(uniform.dtype), self.levels)

    def entropy_bits(self) -> float:
        """Return the entropy in bits per frame, given all frames before it: that of a step of the chain."""
        return self.features * float(self.distribution()[1] @ entropy(self.transition()))

    def rate_distortion(self) -> tuple[Tensor, Tensor]:
        """Return a lower bound of R(D), in bits per frame and squared error per value, exact at no distortion.

        It is R(D) where the decoder is told the true level before each for nothing (Gray, IEEE Trans. Inf. Theory
        19(4), 1973): from the variance given that level, at no bits, to the entropy.
        """
        rate, distortion = _told(self)
        return self.features * rate, distortion


@lru_cache
def _told(source: LevelChain) -> tuple[Tensor, Tensor]:
    value, probability = source.distribution()
    return parallel_curve([(value, row) for row in source.transition()], probability.tolist())


@lru_cache
def _transition(levels: int, correlation: float) -> Tensor:
    """Integrate the bivariate normal density over each pair of cells, in float64."""
    edges = (torch.arange(1, levels, dtype=torch.float64) - levels / 2).tolist()
    bounds = [-_REACH, *[min(max(edge, -_REACH), _REACH) for edge in edges], _REACH]
    rows = []
    for low, high in pairwise(bounds):
        x = torch.linspace(low, high, _POINTS, dtype=torch.float64)
        edge = torch.tensor(edges, dtype=torch.float64)[:, None]
        below = torch.special.ndtr((edge - correlation * x) / math.sqrt(1 - correlation**2))
        cells = torch.cat([torch.zeros_like(x)[None], below, torch.ones_like(x)[None]]).diff(dim=0)
        density = torch.exp(-x.square() / 2)
        rows.append(torch.trapezoid(cells * density, x) / torch.trapezoid(density, x))
    return torch.stack(rows)
