"""A synthetic source whose distribution has several modes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from qcodec.data.level_source import LevelSource, at_least


@final
@dataclass(frozen=True)
class RoundedMixture(LevelSource):
    """White noise of a mixture of Gaussians rounded to the nearest of ``levels`` levels one apart.

    Attributes:
        means: Mean of each component.
        deviations: Standard deviation of each component.
        weights: Weight of each component; they are scaled to a sum of one.

    Raises:
        ValueError: For lists of different lengths, deviations that are not positive, or negative weights.

    Example:
        >>> round(RoundedMixture().entropy_bits(), 2)
        56.76
    """

    means: Sequence[float] = (-1.0, 1.0)
    deviations: Sequence[float] = (0.5, 0.5)
    weights: Sequence[float] = (0.7, 0.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("means", "deviations", "weights"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        counts = {len(self.means), len(self.deviations), len(self.weights)}
        if len(counts) > 1 or 0 in counts:
            raise ValueError(
                f"data settings source.means, source.deviations and source.weights have {len(self.means)}, "
                f"{len(self.deviations)} and {len(self.weights)} entries: give each component one of each"
            )
        for deviation in self.deviations:
            at_least("deviations", deviation, 1e-6)
        for weight in self.weights:
            at_least("weights", weight, 0)
        at_least("weights", sum(self.weights), 1e-6)

    def cumulative(self, x: Tensor) -> Tensor:
        """Return the cumulative distribution of a value of the mixture."""
        total = torch.zeros_like(x)
        for mean, deviation, weight in zip(self.means, self.deviations, self.weights, strict=True):
            total = total + weight / sum(self.weights) * torch.special.ndtr((x - mean) / deviation)
        return total
