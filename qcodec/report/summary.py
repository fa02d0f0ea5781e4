"""The summary of a run: one row per system, a mean and a standard deviation of each metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qcodec.runs.read import FloatArray, Run
from qcodec.runs.schema import DIVERGED, Metric

Row = Mapping[str, float | str | None]


@dataclass(frozen=True)
class Table:
    """The summary: one row per system, the best one first.

    Attributes:
        metrics: What has columns, ``NAME_mean`` and ``NAME_std`` each.
        rows: The cells of each row by column, the same in every row; None for what was not logged.
    """

    metrics: Sequence[Metric]
    rows: Sequence[Row]


def summary(run: Run) -> Table:
    """Summarize a run: for each system mean and standard deviation over seeds of what it logged last."""
    metrics = [metric for metric in run.described if metric.name != DIVERGED]
    stated = {metric.name for metric in run.description.metrics}
    systems = [name for name in run.systems if any(name in run.metrics.get(metric, {}) for metric in stated)]
    rows = [_row(run, metrics, system) for system in systems or run.systems]
    return Table(metrics, sorted(rows, key=lambda row: _rank(run, row)))


def _row(run: Run, metrics: Sequence[Metric], system: str) -> Row:
    logged = [by_system[system] for by_system in run.metrics.values() if system in by_system]
    row: dict[str, float | str | None] = {
        "system": system,
        "seeds": max(len(series.values) for series in logged),
        "updates": max(float(series.steps[-1]) for series in logged),
    }
    for metric in metrics:
        series = run.series(metric.name, system)
        row[f"{metric.name}_mean"] = _mean(series.last) if series else None
        row[f"{metric.name}_std"] = _deviation(series.last) if series and len(series.last) > 1 else None
    diverged = run.diverged(system)
    return row | {DIVERGED: float(np.nanmin(diverged)) if np.isfinite(diverged).any() else None}


def _rank(run: Run, row: Row) -> float:
    """Return what a row is sorted by, rising: the first of the run's ranks that the system logged."""
    for name in run.description.rank:
        value = row.get(f"{name}_mean")
        if isinstance(value, float):
            sign = -1 if run.description.metric(name).better == "higher" else 1
            return sign * value if not np.isnan(value) else np.inf
    return np.inf


def _mean(values: FloatArray) -> float:
    return float(np.mean(values)) if np.isfinite(values).all() else float(np.max(values))


def _deviation(values: FloatArray) -> float:
    return float(np.std(values, ddof=1)) if np.isfinite(values).all() else float("nan")
