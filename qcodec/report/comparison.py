"""Two systems held against each other, seed by seed."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest, bootstrap, permutation_test

from qcodec.figures.words import short
from qcodec.runs.read import FloatArray, Run
from qcodec.runs.schema import Metric

HEADINGS = ("system", "against", "metric", "seeds", "median ratio", "95 % interval", "p", "solved (95 % interval)")
SOLVED = 1e-4  # an MSE per value below which a synthetic source counts as solved; less is no better


@dataclass(frozen=True)
class Share:
    """A number of seeds among all, with its 95 % interval (Clopper and Pearson, Biometrika 26(4), 1934)."""

    count: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        """The lowest and the highest share that the seeds do not contradict."""
        low, high = binomtest(self.count, self.total).proportion_ci(0.95, "exact")
        return float(low), float(high)

    def __str__(self) -> str:
        """Return it in words."""
        low, high = self.interval
        return f"{self.count} of {self.total} (95 % interval {low:.2f} to {high:.2f})"


@dataclass(frozen=True)
class Paired:
    """The ratio of two systems' values over the seeds that both have.

    Attributes:
        ratio: Median over seeds of the first's value by the second's, in logarithms.
        low: Lower end of its 95 % interval, by the percentiles of 9999 bootstrap samples of the seeds.
        high: Upper end.
        p: Probability of a mean log ratio as far from zero where the two systems do not differ, by changing the signs
            of the seeds' log ratios: all ways of it up to 13 seeds, 9999 of them beyond.
        solved: Seeds of each that end below 1e-4, where that means anything.
    """

    ratio: float
    low: float
    high: float
    p: float
    solved: tuple[Share, Share] | None = None


@dataclass(frozen=True)
class Comparison:
    """Two systems of runs of one kind, compared in one metric over the seeds of both."""

    kind: str
    first: str
    second: str
    metric: Metric
    seeds: tuple[int, ...]
    result: Paired

    @property
    def cells(self) -> tuple[str, ...]:
        """The outcome as a row of a table, under ``HEADINGS``."""
        found = self.result
        solved = " and ".join(map(str, found.solved or ())).replace("95 % interval ", "")
        interval = f"{short(found.low)} to {short(found.high)}"
        p = f"{found.p:.2g}"
        return (
            self.first,
            self.second,
            self.metric.title,
            _in_words(self.seeds),
            short(found.ratio),
            interval,
            p,
            solved,
        )

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        found = self.result
        text = (
            f"{self.first} against {self.second}, {self.metric.title}, {len(self.seeds)} seeds "
            f"({_in_words(self.seeds)}): median ratio {short(found.ratio)} (95 % interval {short(found.low)} to "
            f"{short(found.high)}), p = {found.p:.2g}"
        )
        if found.solved:
            text += f"; below {SOLVED:g} end {found.solved[0]} and {found.solved[1]}"
        return text + "."


def paired(first: FloatArray, second: FloatArray, *, floor: float | None = None) -> Paired:
    """Compare positive values of two systems, ``(seeds,)`` each, seed by seed, by the logarithm of their ratio.

    Args:
        first: Values of one system, such as its MSE; what is no number counts as the highest value of all, and with a
            floor as 1 at least.
        second: Those of the other, for the same seeds.
        floor: Value below which a system is as good as it can be; ``None`` for none.

    Raises:
        ValueError: For fewer than two seeds, or values of which no ratio can be taken.

    Example:
        >>> found = paired(np.array([0.1, 0.2, 0.1]), np.array([0.2, 0.4, 0.4]))
        >>> found.ratio, found.p
        (0.5, 0.25)
    """
    values = np.stack([first, second]).astype(float)
    if values.shape[1] < 2:
        raise ValueError(f"{values.shape[1]} seeds in common are too few to compare two systems: train two or more")
    finite = np.isfinite(values)
    if not finite.any() or (values[finite] < 0).any() or (floor is None and (values[finite] == 0).any()):
        raise ValueError("systems are compared by the ratio of their values, which are not all positive")
    worst = values[finite].max() if floor is None else max(values[finite].max(), 1.0)
    held = np.where(finite, values, worst)
    log = np.log(held if floor is None else np.maximum(held, floor))
    difference = log[0] - log[1]
    draws = bootstrap((difference,), np.median, method="percentile", random_state=np.random.default_rng(0))
    test = permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=9999, random_state=np.random.default_rng(0)
    )
    low, high = draws.confidence_interval
    solved = None
    if floor is not None:
        counts = (finite & (values < floor)).sum(1)
        solved = Share(int(counts[0]), values.shape[1]), Share(int(counts[1]), values.shape[1])
    ratio, low, high = (float(np.exp(x)) for x in (np.median(difference), low, high))
    return Paired(ratio, low, high, float(test.pvalue), solved)


def compare(runs: Sequence[Run], pairs: Sequence[Sequence[str]]) -> list[Comparison]:
    """Compare pairs of systems of one run each, in the metric that the run ranks them by.

    The p values are corrected for the number of pairs.

    Raises:
        ValueError: For a system that no run has, two of different runs, or with fewer than two seeds in common.
    """
    found = []
    for first, second in pairs:
        systems = [system for run in runs for system in run.systems]
        for name in (first, second):
            if name not in systems:
                raise ValueError(f"there is no system {name!r} to compare: there are {', '.join(systems)}")
        both = next((run for run in runs if {first, second} <= {*run.systems}), None)
        if both is None:
            raise ValueError(f"{first} and {second} are of different kinds: no metric means the same for both")
        found.append(_compare(both, first, second))
    return _corrected(found)


def compare_with_best(run: Run, names: Sequence[str]) -> list[Comparison]:
    """Compare the first of a run's systems with each of the others with which it can be, corrected for their number."""
    found = []
    for name in names[1:]:
        with suppress(ValueError):  # too few seeds in common, another metric, or values of which no ratio can be taken
            found.append(_compare(run, name, names[0]))
    return _corrected(found)


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    corrected = holm([each.result.p for each in found])
    return [replace(each, result=replace(each.result, p=p)) for each, p in zip(found, corrected, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm, Scandinavian Journal of Statistics 6(2), 1979).

    Example:
        >>> holm([0.01, 0.5, 0.02])
        [0.03, 0.5, 0.04]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = highest
    return corrected


def _compare(run: Run, first: str, second: str) -> Comparison:
    for name in run.description.rank:
        one, other = run.series(name, first), run.series(name, second)
        if one and other:
            break
    else:
        raise ValueError(f"{first} and {second} logged none of {', '.join(run.description.rank) or 'their ranks'}")
    metric = run.description.metric(name)
    seeds = tuple(seed for seed in one.seeds if seed in other.seeds)
    values = [np.array([each.last[each.seeds.index(seed)] for seed in seeds]) for each in (one, other)]
    floor = SOLVED if metric.distortion and run.description.kind == "surrogate" else None
    try:
        result = paired(*values, floor=floor)
    except ValueError as error:
        raise ValueError(f"{first} and {second}: {error}") from None
    return Comparison(run.description.kind, first, second, metric, seeds, result)


def _in_words(seeds: Sequence[int]) -> str:
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole else ", ".join(map(str, seeds))
