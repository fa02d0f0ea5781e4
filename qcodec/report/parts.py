"""What every report is made of: a table, and figures with the words below them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures.curves import over_epochs
from qcodec.figures.data import Bound, Curve
from qcodec.runs.read import Run

Row = Mapping[str, float | str | None]


@dataclass(frozen=True)
class Table:
    """The summary: one row per system.

    Attributes:
        columns: Names of the columns, the system's first.
        headings: What the page calls those columns that it shows.
        rows: The cells of each row by column, None for what was not logged.
        rank: Columns to sort the page's rows by, rising: the first of them that was logged.
        curves: Metrics of which the page draws a small curve: the first of them that was logged.
        name: What these metrics are called there.
    """

    columns: Sequence[str]
    headings: Mapping[str, str]
    rows: Sequence[Row]
    rank: Sequence[str]
    curves: Sequence[str]
    name: str


@dataclass(frozen=True)
class Source:
    """What theory says of the data: the bound and the reference lines."""

    bound: Bound
    references: dict[str, float]


@dataclass(frozen=True)
class Drawn:
    """A figure with the words below it."""

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Metrics:
    """How metrics are called.

    Attributes:
        names: What an axis says, by metric, in the order of the figures.
        titles: What stands above a figure.
        hidden: Metrics that have no figure of their own.
        against_theory: Metrics that are a mean square error per value.
    """

    names: Mapping[str, str]
    titles: Mapping[str, str]
    hidden: Sequence[str]
    against_theory: Sequence[str] = ()

    def each(self, run: Run, source: Source | None = None) -> Iterator[Drawn]:
        """Draw one figure of each metric over training."""
        for metric in dict.fromkeys([*(metric for metric in self.names if metric in run.metrics), *run.metrics]):
            if metric not in self.hidden and (curves := curves_of(run, metric)):
                yield self.drawn(re.sub(r"[^\w.-]+", "_", metric), run, metric, curves, source)

    def drawn(
        self, name: str, run: Run, metric: str, curves: Mapping[str, Curve], source: Source | None, where: str = ""
    ) -> Drawn:
        """Draw some systems' curves of a metric; ``where`` is added to the title."""
        theory = source if metric in self.against_theory else None
        title = self.titles.get(metric, metric) + where
        figure = over_epochs(
            curves,
            self.names.get(metric, metric),
            title=title,
            updates_per_epoch=run.updates_per_epoch,
            references=theory.references if theory else None,
            bound=theory.bound if theory else None,
        )
        text = title + fate(curves)
        text += "; right-hand axis: the least bits per frame that any codec needs for that MSE" if theory else ""
        return Drawn(name, f"{text}.", figure)


def curves_of(run: Run, metric: str) -> dict[str, Curve]:
    """Make the curves of those systems that logged the metric with at least one number, or diverged before they did."""
    curves = {}
    for system, series in run.metrics.get(metric, {}).items():
        curve = Curve(series.steps, series.values, run.diverged(system))
        if np.isfinite(series.values).any() or curve.diverged or np.isinf(series.values).any():
            curves[system] = curve
    return curves


def fate(curves: Mapping[str, Curve]) -> str:
    """Say how seeds are drawn, for a caption."""
    most = max(len(curve.values) for curve in curves.values())
    text = f"; lines: median over seeds, bands: least to greatest of up to {most} seeds" if most > 1 else "; one seed"
    if any(curve.diverged for curve in curves.values()):
        text += "; a seed that has diverged counts as infinite once it is no number, arrow heads leave the axis"
    return text


def first_divergence(run: Run, system: str) -> float | None:
    """Give the update at which the first seed of a system diverged; None where none did."""
    diverged = run.diverged(system)
    return float(np.nanmin(diverged)) if np.isfinite(diverged).any() else None
