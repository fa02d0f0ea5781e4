"""How the rate levels of training are drawn."""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.rebuild import Rebuildable


class LevelSampler(Rebuildable, ABC):
    """Draws the levels that a rate allocator trains at, from torch's global generator on the CPU.

    A subclass writes ``draw``.
    """

    @abstractmethod
    def draw(self, clips: int) -> Tensor:
        """Draw one level for each of ``clips`` clips: ``(clips,)``, positive, float32."""


class _Range(LevelSampler, ABC):
    def __init__(self, low: float = 0.125, high: float = 6.0) -> None:
        if not 0 < low <= high < math.inf:
            raise ValueError(f"low={low} and high={high} are no range of levels: give 0 < low <= high")
        self.low, self.high = float(low), float(high)


@final
class UniformLevels(_Range):
    """Draws levels uniformly between ``low`` and ``high``; the defaults are those of arXiv 2410.06016.

    Args:
        low: Lowest level, positive.
        high: Highest level.

    Raises:
        ValueError: For a range that is empty or not positive.

    Example:
        >>> levels = UniformLevels(0.5, 2.0).draw(1000)
        >>> bool((levels >= 0.5).all() and (levels <= 2.0).all())
        True
    """

    def draw(self, clips: int) -> Tensor:
        """Draw ``(clips,)`` levels."""
        return self.low + (self.high - self.low) * torch.rand(clips)


@final
class LogUniformLevels(_Range):
    """Draws levels whose logarithm is uniform between those of ``low`` and ``high``: as many below 1 as its share.

    Arguments and errors are those of ``UniformLevels``.

    Example:
        >>> levels = LogUniformLevels(0.25, 4.0).draw(10000)
        >>> abs((levels < 1).float().mean().item() - 0.5) < 0.05
        True
    """

    def draw(self, clips: int) -> Tensor:
        """Draw ``(clips,)`` levels."""
        return self.low * (self.high / self.low) ** torch.rand(clips)
