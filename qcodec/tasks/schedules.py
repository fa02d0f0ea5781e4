"""Learning-rate schedules as functions of the number of updates done."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


class Schedule(ABC):
    """Gives the learning rate of an update, so that a resumed run needs no further state."""

    @abstractmethod
    def learning_rate(self, update: int) -> float:
        """Give the learning rate for update number ``update``, counted from 0."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate throughout, as in arXiv 2502.04770, section 4.

    Attributes:
        rate: Learning rate.
    """

    rate: float = 1e-4

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def learning_rate(self, update: int) -> float:
        """Give the rate."""
        return self.rate


@dataclass(frozen=True)
class Cosine(Schedule):
    """A rate lowered along half a cosine, once or in cycles that each start anew: SGDR (arXiv 1608.03983, eq. 5).

    Attributes:
        rate: Learning rate at the beginning of each cycle.
        updates: Number of updates after which the last cycle ends; the rate stays at ``final`` from then on.
        hold: Number of updates at the beginning of each cycle before the decay begins.
        final: Learning rate at the end of each cycle.
        cycles: Number of cycles, of equal length.

    Example:
        >>> schedule = Cosine(rate=1e-3, updates=200, cycles=2)
        >>> [round(schedule.learning_rate(update), 6) for update in (0, 50, 100, 150, 200)]
        [0.001, 0.0005, 0.001, 0.0005, 0.0]
    """

    rate: float
    updates: int
    hold: int = 0
    final: float = 0.0
    cycles: int = 1

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        if not 0 <= self.final <= self.rate:
            raise ValueError(f"final={self.final} is no rate to end at: give 0 to rate={self.rate}")
        if not 1 <= self.cycles <= self.updates:
            raise ValueError(f"cycles={self.cycles} do not fit: give 1 to updates={self.updates}")
        if not 0 <= self.hold < self.updates / self.cycles:
            raise ValueError(
                f"hold={self.hold} leaves no update to decay in: give less than {self.updates / self.cycles:g}, "
                "the length of a cycle"
            )

    def learning_rate(self, update: int) -> float:
        """Give the rate at ``update``."""
        if update >= self.updates:
            return self.final
        length = self.updates / self.cycles
        done = max(0.0, (update % length - self.hold) / (length - self.hold))
        return self.final + (self.rate - self.final) * (1 + math.cos(math.pi * done)) / 2


def _check_rate(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"a learning rate of {rate} trains nothing: give a positive number")
