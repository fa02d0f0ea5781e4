"""A synthetic source with heavy tails."""

import math
from dataclasses import dataclass
from typing import final

from torch import Tensor

from qcodec.data.level_source import LevelSource


@final
@dataclass(frozen=True)
class RoundedLaplacian(LevelSource):
    """White Laplacian noise of unit variance rounded to the nearest of ``levels`` levels one apart.

    Example:
        >>> round(RoundedLaplacian().entropy_bits(), 2)
        54.01
    """

    def cumulative(self, x: Tensor) -> Tensor:
        """Return the cumulative distribution of a Laplacian value of unit variance, whose scale is ``1 / sqrt(2)``."""
        return 0.5 - 0.5 * x.sign() * (-math.sqrt(2) * x.abs()).expm1()
