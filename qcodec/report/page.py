"""The report as one self-contained web page."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from qcodec.figures.data import Axis, Curve, fit_axis
from qcodec.figures.drawn import curves_of
from qcodec.figures.words import short
from qcodec.report.comparison import HEADINGS, Comparison
from qcodec.report.summary import Row, Table
from qcodec.runs.read import Run
from qcodec.runs.schema import DIVERGED, Metric

_ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it; ``name`` is that of its file, ``drawn`` whether the report drew it on white."""

    name: str
    caption: str
    png: bytes
    drawn: bool = True


@dataclass(frozen=True)
class Clip:
    """A clip of a run to listen to: its number, and what it was made into, as FLAC by name."""

    run: str
    number: str
    sounds: Mapping[str, bytes]


@dataclass(frozen=True)
class TableRow:
    """A row of a section's table; ``points`` are those of its small curve."""

    cells: Sequence[str]
    points: str
    diverged: bool


@dataclass(frozen=True)
class Section:
    """What the page shows of all runs of one kind."""

    kind: str
    headings: Sequence[str]
    rows: Sequence[TableRow]
    note: str
    small: str  # what the small curves show
    comparisons: Sequence[Comparison]
    chosen: bool  # whether one asked for the comparisons; else they are those with the first of the table
    pictures: Sequence[Picture]


def section(
    together: Run, table: Table, comparisons: Sequence[Comparison], chosen: bool, pictures: Sequence[Picture]
) -> Section:
    """Return the part of the page on all systems of runs of one kind: the table, comparisons and figures."""
    metrics = [metric for metric in table.metrics if any(row[f"{metric.name}_mean"] is not None for row in table.rows)]
    diverged = any(row[DIVERGED] is not None for row in table.rows)
    small, curves, axis = _small_curves(together)
    headings = ["system", small, "seeds", "updates", *map(_heading, metrics), *["diverged at update"] * diverged]
    rows = [
        TableRow(
            [str(row["system"]), "", f"{row['seeds']:,}", f"{row['updates']:,.0f}"]
            + [_cell(row, metric) for metric in metrics]
            + [f"{row[DIVERGED]:,.0f}" if row[DIVERGED] is not None else ""] * diverged,
            sparkline(curves[str(row["system"])], axis) if row["system"] in curves else "",
            row[DIVERGED] is not None,
        )
        for row in table.rows
    ]
    note = "Means ± standard deviations over seeds at the last logged step; an arrow points to the better values. "
    if curves:
        note += f"The curves show {small} over training, from {short(axis.low)} to {short(axis.high)}."
    return Section(together.description.kind, headings, rows, note, small, comparisons, chosen, pictures)


def page(sections: Sequence[Section], clips: Sequence[Clip], runs: Sequence[Run], going: Sequence[str] = ()) -> str:
    """Return the page: a section for each kind of run, sounds, and each run's configuration.

    Args:
        sections: One at least.
        clips: What can be heard.
        runs: The runs one by one.
        going: Names of those that are still being written; the page then loads itself anew.
    """
    title = f"qcodec report: {', '.join(run.name for run in runs)}"
    return render("page.html", title=title, sections=sections, clips=clips, runs=runs, going=going, compared=HEADINGS)


def sparkline(curve: Curve, axis: Axis, most_points: int = 60) -> str:
    """Return the points of a curve's median in an SVG of 110 by 24; empty for fewer than two."""
    middle = curve.range()[1]
    seen = np.flatnonzero(~np.isnan(middle))
    if len(seen) < 2:
        return ""
    kept = seen[np.unique(np.linspace(0, len(seen) - 1, most_points).astype(int))]
    across = 1 + 108 * curve.updates[kept] / curve.updates[kept[-1]]
    return " ".join(f"{x:.1f},{23 - 22 * axis.fraction(y):.1f}" for x, y in zip(across, middle[kept], strict=True))


def render(template: str, **values: Any) -> str:
    """Return a page of a template beside this module; text is escaped, and a value that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment.get_template(template).render(values)


def _small_curves(run: Run) -> tuple[str, dict[str, Curve], Axis]:
    """Return what the table's small curves show, the first metric that the run states and logged, and their axis."""
    for metric in run.description.metrics:
        if metric.drawn and (curves := curves_of(run, metric.name)):
            axis = fit_axis(curves, {})
            return f"log {metric.axis}" if axis.log else metric.axis, curves, axis
    return "", {}, Axis(0.0, 1.0, log=False)


def _heading(metric: Metric) -> str:
    unit = f" ({metric.unit})" if metric.unit else ""
    return metric.title + unit + _ARROWS[metric.better]


def _cell(row: Row, metric: Metric) -> str:
    """Return a mean and its deviation as one reads them; empty for none."""
    mean, deviation = row[f"{metric.name}_mean"], row[f"{metric.name}_std"]
    if not isinstance(mean, float):
        return ""
    return f"{short(mean)} ± {short(deviation)}" if isinstance(deviation, float) else short(mean)
