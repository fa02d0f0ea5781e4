"""A synthetic source whose values carry different amounts of information."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from qcodec.data.level_source import at_least
from qcodec.data.source import SyntheticSource
from qcodec.functional import nearest_level
from qcodec.random_streams import BatchStreams
from qcodec.rate import gaussian_source, parallel_curve


@final
@dataclass(frozen=True)
class MixedLevels(SyntheticSource):
    """White Gaussian noise rounded to levels one apart, whose number differs from value to value of a frame.

    No rounding of the rotated observation suits all of them, so that there is no line of a known rotation.

    Attributes:
        features: Values per frame.
        frames: Frames per draw.
        levels: Numbers of levels: the first for the first value of a frame, and so on, again from the first.

    Raises:
        ValueError: For sizes below one, fewer than two levels, or more numbers of levels than values.

    Example:
        >>> round(MixedLevels(levels=(2, 8)).entropy_bits(), 2)
        46.57
    """

    features: int = 30
    frames: int = 2000
    levels: Sequence[int] = (2, 4, 8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        at_least("features", self.features, max(1, len(self.levels)))
        at_least("frames", self.frames, 1)
        for levels in self.levels or (0,):
            at_least("levels", levels, 2)

    def draw(self, streams: BatchStreams) -> Tensor:
        """Draw targets ``(streams.entries, features, frames)``."""
        normal = streams.normal((streams.entries, self.features, self.frames))
        target, count = torch.empty_like(normal), len(self.levels)
        for first, levels in enumerate(self.levels):
            target[:, first::count] = nearest_level(normal[:, first::count].contiguous(), levels)[1]
        return target

    def entropy_bits(self) -> float:
        """Return the entropy in bits per frame."""
        return float(self.rate_distortion()[0][-1])

    def rate_distortion(self) -> tuple[Tensor, Tensor]:
        """Return R(D): bits per frame and squared error per value, from ``(0, variance)`` to ``(entropy, 0)``."""
        rate, distortion = _curve(tuple(self.levels[index % len(self.levels)] for index in range(self.features)))
        return self.features * rate, distortion

    def references(self) -> Mapping[str, float]:
        """Return the squared error without information, the mean of the values' variances."""
        return {"zero information": float(self.rate_distortion()[1][0])}


@lru_cache
def _curve(levels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    counts = Counter(levels)
    return parallel_curve([gaussian_source(each) for each in counts], [n / len(levels) for n in counts.values()])
