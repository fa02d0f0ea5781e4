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
    """A rate held for some updates, then lowered along half a cosine to ``final`` (arXiv 1608.03983, eq. 5).

    Attributes:
        rate: Learning rate at the beginning.
        updates: Number of updates after which ``final`` is reached.
        hold: Number of updates before the decay begins.
        final: Learning rate from then on.

    Example:
        >>> schedule = Cosine(rate=1e-3, updates=100)
        >>> schedule.learning_rate(0), round(schedule.learning_rate(50), 6), schedule.learning_rate(100)
        (0.001, 0.0005, 0.0)
    """

    rate: float
    updates: int
    hold: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        if not 0 <= self.final <= self.rate:
            raise ValueError(f"final={self.final} is no rate to end at: give 0 to rate={self.rate}")
        if not 0 <= self.hold < self.updates:
            raise ValueError(
                f"hold={self.hold} leaves no update to decay in: give 0 to updates - 1 = {self.updates - 1}"
            )

    def learning_rate(self, update: int) -> float:
        """Give the rate at ``update``."""
        done = min(max(0.0, (update - self.hold) / (self.updates - self.hold)), 1.0)
        return self.final + (self.rate - self.final) * (1 + math.cos(math.pi * done)) / 2


def _check_rate(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"a learning rate of {rate} trains nothing: give a positive number")
