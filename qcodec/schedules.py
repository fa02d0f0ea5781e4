"""Schedules of a learning rate, or of another positive setting such as a temperature, by the number of updates made."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


class Schedule(ABC):
    """A function of the update's number, so that a resumed run needs no further state.

    A subclass is a frozen dataclass: systems of equal schedules share a call of the optimizer.
    """

    @abstractmethod
    def value(self, update: int) -> float:
        """Return the value at update number ``update``, counted from 0."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value throughout, as the learning rate of arXiv 2502.04770, section 4.

    Attributes:
        rate: The value.
    """

    rate: float = 1e-4

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def value(self, update: int) -> float:
        """Return ``rate``."""
        return self.rate


@dataclass(frozen=True)
class Exponential(Schedule):
    """A value that shrinks by one factor with every update: ``rate * decay ** update`` (arXiv 2306.06546, section 4.2).

    Attributes:
        rate: Value at the first update.
        decay: Factor from one update to the next, above 0 and at most 1.

    Example:
        >>> round(Exponential(rate=1e-4).value(400_000), 7)
        2.02e-05
    """

    rate: float = 1e-4
    decay: float = 0.999996

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay={self.decay} is no factor to shrink by: choose more than 0 and at most 1")

    def value(self, update: int) -> float:
        """Return the value at ``update``."""
        return self.rate * self.decay**update


@dataclass(frozen=True)
class Linear(Schedule):
    """A value that moves from ``rate`` to ``final`` in equal steps, and stays there: a temperature, or a hardness.

    Attributes:
        rate: Value at the first update.
        final: Value from update number ``updates`` on.
        updates: Number of updates to get there.

    Example:
        >>> [Linear(rate=1.0, final=5.0, updates=4).value(update) for update in (0, 1, 4, 9)]
        [1.0, 2.0, 5.0, 5.0]
    """

    rate: float
    final: float
    updates: int

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        _check_rate(self.final)
        if self.updates < 1:
            raise ValueError(f"updates={self.updates} leaves no time to get to final: choose 1 or more")

    def value(self, update: int) -> float:
        """Return the value at ``update``."""
        return self.rate + (self.final - self.rate) * min(update / self.updates, 1.0)


@dataclass(frozen=True)
class Cosine(Schedule):
    """A value raised linearly from zero, then lowered along half a cosine, in cycles (arXiv 1608.03983, eq. 5).

    Attributes:
        rate: Value at the end of the warm-up, the highest.
        updates: Number of updates of a cycle, after which ``final`` is reached.
        warmup: Number of updates of a cycle's warm-up; the decay begins at once if left out.
        final: Value at the end of a cycle, and from the end of the last one on.
        cycles: Number of cycles; each begins with a warm-up again (a warm restart).

    Example:
        >>> schedule = Cosine(rate=1e-3, updates=100, warmup=20)
        >>> [round(schedule.value(update), 6) for update in (0, 10, 20, 60, 100)]
        [5e-05, 0.00055, 0.001, 0.0005, 0.0]
    """

    rate: float
    updates: int
    warmup: int = 0
    final: float = 0.0
    cycles: int = 1

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        if not 0 <= self.final <= self.rate:
            raise ValueError(f"final={self.final} is no rate to end at: choose 0 to rate={self.rate}")
        if not 0 <= self.warmup < self.updates:
            raise ValueError(
                f"warmup={self.warmup} leaves no update to decay in: choose less than updates={self.updates}"
            )
        if self.cycles < 1:
            raise ValueError(f"cycles={self.cycles} makes no schedule: choose 1 or more")

    def value(self, update: int) -> float:
        """Return the value at ``update``."""
        if update < self.updates * self.cycles:
            update %= self.updates
        if update < self.warmup:
            return self.rate * (update + 1) / self.warmup
        done = min((update - self.warmup) / (self.updates - self.warmup), 1.0)
        return self.final + (self.rate - self.final) * (1 + math.cos(math.pi * done)) / 2


def _check_rate(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"rate={rate} is no value of a schedule: choose a positive number")
