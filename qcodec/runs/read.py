"""Reading run folders: a ``metrics.csv`` of any task becomes an array of seeds and steps per metric and system."""

import csv
import functools
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcodec.runs.schema import BY_SEED, CONFIG, DIVERGED, INDEX, METRICS, Metric, RunDescription, read_description

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """The values of one metric of one system, at the steps where it was logged."""

    steps: FloatArray  # (logged,) number of updates done, rising
    values: FloatArray  # (seeds, logged); nan or inf where the run itself logged them, nan for a seed not logged
    seeds: tuple[int, ...] = ()  # their numbers, rising; empty where only a mean was logged

    @property
    def last(self) -> FloatArray:
        """Values of the last logged step, (seeds,)."""
        return self.values[:, -1]


@dataclass(frozen=True)
class Run:
    """What one run folder logged, or several of them side by side."""

    name: str
    metrics: dict[str, dict[str, Series]]  # metric -> system -> series
    updates_per_epoch: int | None = None  # None where it cannot be told, or where the runs side by side differ
    config: str | None = None  # the text of config.yaml
    skipped_lines: int = 0  # lines of metrics.csv that were cut off
    description: RunDescription = field(default_factory=lambda: RunDescription("other"))

    @property
    def settings(self) -> Any:
        """What ``config.yaml`` says, not to be changed; None without one, or where it is no YAML."""
        return None if self.config is None else _parsed(self.config)

    @property
    def systems(self) -> list[str]:
        """Names of all systems, in the order in which they were logged."""
        return list(dict.fromkeys(system for by_system in self.metrics.values() for system in by_system))

    @property
    def described(self) -> list[Metric]:
        """All metrics that the run states or logged: those stated first, in their order."""
        stated = {metric.name: metric for metric in self.description.metrics}
        return list((stated | {name: self.description.metric(name) for name in self.metrics}).values())

    def series(self, metric: str, system: str) -> Series | None:
        """Return one metric of one system; None where it was not logged."""
        return self.metrics.get(metric, {}).get(system)

    def diverged(self, system: str) -> FloatArray:
        """Return the update at which each seed first diverged, (seeds,), nan where it never did; (0,) if not logged."""
        series = self.series(DIVERGED, system)
        if series is None:
            return np.empty(0)
        finite = np.where(np.isfinite(series.values), series.values, np.inf).min(axis=1)
        return np.where(np.isfinite(finite), finite, np.nan)


@functools.lru_cache(maxsize=256)
def _parsed(config: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(config)
    except yaml.YAMLError:
        return None


def read_run(folder: Path) -> Run:
    """Read a run folder: ``run.json``, ``metrics.csv`` and, if there, ``config.yaml``; the run may still be going on.

    Rows of one step are merged, the later one first. A line that was cut off is left out and counted.

    Raises:
        ValueError: For no folder, one of the former layout, nothing logged in it, or a cell that is no number.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise ValueError(f"{folder} {what}: name a folder that `qcodec fit --run_dir` wrote")
    description = read_description(folder)
    path = folder / METRICS
    rows, skipped = _rows(path)
    whole = folder.resolve()
    name = whole.parent.name if whole.name.isdecimal() else whole.name  # runs of one recipe are numbered
    merged = _by_step(rows)
    metrics = _by_metric([merged[step] | {"step": step} for step in sorted(merged)], system=name)
    if not metrics:
        raise ValueError(f"{path} holds no values: wait until the run's first epoch has ended, or name another folder")
    config = folder / CONFIG
    return Run(
        name=name,
        metrics=metrics,
        updates_per_epoch=_updates_per_epoch(merged),
        config=config.read_text(encoding="utf-8") if config.is_file() else None,
        skipped_lines=skipped,
        description=description,
    )


def read_table(folder: Path) -> dict[str, FloatArray]:
    """Read each column of a run's ``metrics.csv``: an entry per logged step, rising, NaN where nothing was logged."""
    merged = _by_step(_rows(folder / "metrics.csv")[0])
    columns = dict.fromkeys(column for row in merged.values() for column in row)
    return {column: np.array([merged[step].get(column, np.nan) for step in sorted(merged)]) for column in columns}


def side_by_side(runs: Sequence[Run], name: str) -> Run:
    """Put the systems of several runs into one; a system's name that two runs share gains its run's name in brackets.

    A system that only has its run's name for its own gets that as a whole.
    What all runs state of their data stays; a metric is what the first run that states it says.

    Raises:
        ValueError: For runs of several kinds, and for two systems that still share a name, as their runs do.
    """
    owners = Counter(system for run in runs for system in run.systems)
    metrics: dict[str, dict[str, Series]] = {}
    for run in runs:
        for metric, by_system in run.metrics.items():
            for system, series in by_system.items():
                full = run.name if system in run.name.split("/") else f"{system} ({run.name})"
                label = full if owners[system] > 1 else system
                if label in metrics.setdefault(metric, {}):
                    raise ValueError(f"two runs named {run.name} hold {metric} of {system}: rename one of the folders")
                metrics[metric][label] = series
    periods = {run.updates_per_epoch for run in runs}
    period = periods.pop() if len(periods) == 1 else None
    return Run(name, metrics, period, description=_common_description(runs))


def _common_description(runs: Sequence[Run]) -> RunDescription:
    """Return what runs of one kind state together; the bound and the references only where all have the same."""
    first, *others = [run.description for run in runs]
    if any(other.kind != first.kind for other in others):
        kinds = ", ".join(f"{run.name} is {run.description.kind}" for run in runs)
        raise ValueError(f"the runs are of several kinds ({kinds}): report on runs of one kind at a time")
    stated: dict[str, Metric] = {}
    for metric in (metric for each in (first, *others) for metric in each.metrics):
        stated.setdefault(metric.name, metric)
    rank = dict.fromkeys(name for each in (first, *others) for name in each.rank)
    same = all((other.bound, other.references) == (first.bound, first.references) for other in others)
    known = first if same else RunDescription(first.kind)
    return replace(known, metrics=tuple(stated.values()), rank=tuple(rank), spread=first.spread)


def _rows(path: Path) -> tuple[list[dict[str, float]], int]:
    """Read the filled cells of each complete line of a CSV file by column, and count the lines cut off; none: empty."""
    if not path.is_file():
        return [], 0
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    unterminated = int(not text.endswith("\n") and bool(text.strip()))
    if not lines:
        return [], unterminated
    header, body = lines[0], [line for line in lines[1:] if line]
    whole = [line for line in body if len(line) == len(header)]
    return [dict(_numbers(path, header, line)) for line in whole], unterminated + len(body) - len(whole)


def _by_step(rows: list[dict[str, float]]) -> dict[float, dict[str, float]]:
    """Merge rows of one step, the later one first; a row whose step is no number is left out, as is such an epoch."""
    merged: dict[float, dict[str, float]] = {}
    for position, every in enumerate(rows):
        row = {name: value for name, value in every.items() if name not in INDEX or math.isfinite(value)}
        if "step" in every and "step" not in row:
            continue
        earlier = merged.setdefault(row.get("step", float(position)), {})
        earlier.update(row | {"epoch": earlier["epoch"]} if "epoch" in earlier else row)  # a test counts on the epochs
    return merged


def _numbers(path: Path, header: list[str], line: list[str]) -> Iterator[tuple[str, float]]:
    """Yield column and value of each filled cell of a line; ``ValueError`` at one that is not a number."""
    for column, cell in zip(header, line, strict=True):
        if not cell.strip():
            continue
        try:
            yield column, float(cell)
        except ValueError:
            raise ValueError(f"{path} holds {cell!r} in column {column!r}: every cell must be a number") from None


def _by_metric(rows: list[dict[str, float]], system: str) -> dict[str, dict[str, Series]]:
    """Make the series of each metric and system from rows in the order of their steps.

    The values by seed are taken where there are any, else the column itself counts as one seed. A column without a
    system in its name belongs to ``system``.
    """
    seeds: dict[tuple[str, str], dict[int, str]] = {}
    means: dict[tuple[str, str], str] = {}
    for column in dict.fromkeys(column for row in rows for column in row if column not in INDEX):
        if column.startswith(BY_SEED):
            name, _, seed = column.removeprefix(BY_SEED).rpartition("/")
            metric, _, owner = name.rpartition("/")
            if metric and seed.isdecimal():
                seeds.setdefault((metric, owner), {})[int(seed)] = column
                continue
        metric, _, owner = column.rpartition("/")
        means[(metric, owner) if metric else (owner, system)] = column
    metrics: dict[str, dict[str, Series]] = {}
    for metric, owner in dict.fromkeys([*means, *seeds]):
        by_seed = dict(sorted(seeds.get((metric, owner), {}).items()))
        columns = list(by_seed.values()) or [means[metric, owner]]
        logged = [row for row in rows if any(column in row for column in columns)]
        metrics.setdefault(metric, {})[owner] = Series(
            steps=np.array([row["step"] for row in logged], dtype=np.float64),
            values=np.array([[row.get(column, np.nan) for row in logged] for column in columns], dtype=np.float64),
            seeds=tuple(by_seed),
        )
    return metrics


def _updates_per_epoch(rows: dict[float, dict[str, float]]) -> int | None:
    """Take the median distance of the epochs' last steps; None where no row names its epoch and step."""
    last_step: dict[float, float] = {}
    for step, row in rows.items():
        if "epoch" in row and "step" in row:
            last_step[row["epoch"]] = max(step, last_step.get(row["epoch"], step))
    if not last_step:
        return None
    epochs = np.array(sorted(last_step))
    steps = np.array([last_step[epoch] for epoch in epochs])
    per_epoch = np.diff(steps) / np.diff(epochs) if len(epochs) > 1 else steps / (epochs + 1)
    return max(1, round(float(np.median(per_epoch))))
