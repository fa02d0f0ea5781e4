"""The report as one self-contained web page."""

import base64
import math
from collections.abc import Sequence
from html import escape

import numpy as np

from qcodec.figures.data import Curve
from qcodec.figures.style import short
from qcodec.report.parts import Row, Table
from qcodec.runs.read import Run

Picture = tuple[tuple[str, str], bytes]  # ((name, caption), PNG)

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td { white-space: nowrap; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
th { font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
tr.diverged td { color: light-dark(#a33000, #ff9b73); }
svg { display: block; width: 110px; height: 24px; }
polyline { fill: none; stroke: currentColor; stroke-width: 1.3; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; background: #fff; border-radius: 3px; }
figcaption, .note { font-size: .87rem; opacity: .8; max-width: 60rem; }
pre { overflow-x: auto; font-size: .8rem; }
"""
_COUNTS = ("seeds", "updates", "diverged_at")


def page(together: Run, table: Table, pictures: Sequence[Picture], runs: Sequence[Run]) -> str:
    """Write the page: the table, the figures and each run's configuration.

    Args:
        together: All systems of the runs.
        table: The summary.
        pictures: Name, caption and PNG of each figure.
        runs: The runs one by one.
    """
    title = f"qcodec report: {escape(together.name)}"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
        f"<h1>{title}</h1>",
        _table(together, table),
        "<h2>Figures</h2>",
        *(_figure(name, caption, png) for (name, caption), png in pictures),
        "<h2>Runs</h2>",
        *(_run(run) for run in runs),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def sparkline(curve: Curve, low: float, high: float, name: str, most_points: int = 60) -> str:
    """Draw the median of a curve called ``name`` as a small SVG, log from ``low`` to ``high``; empty for no line."""
    middle = curve.range()[1]
    seen = np.flatnonzero(middle > 0)  # inf is, nan is not
    if len(seen) < 2:
        return ""
    kept = seen[np.unique(np.linspace(0, len(seen) - 1, most_points).astype(int))]
    across = 108 * curve.updates[kept] / curve.updates[kept[-1]] + 1
    down = 1 + 22 * (1 - (np.log(np.clip(middle[kept], low, high)) - math.log(low)) / math.log(high / low))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    label = f"{escape(name)} over training"
    return f'<svg viewBox="0 0 110 24" role="img" aria-label="{label}"><polyline points="{points}"/></svg>'


def _table(run: Run, table: Table) -> str:
    """Write the summary, the best system first."""
    rows = table.rows

    def rank(row: Row) -> float:
        value = next((row[column] for column in table.rank if row[column] is not None), None)
        return value if isinstance(value, float) and not math.isnan(value) else math.inf

    curves = {
        system: Curve(series.steps, series.values, run.diverged(system))
        for system, series in next((run.metrics[name] for name in table.curves if name in run.metrics), {}).items()
    }
    numbers = np.concatenate([np.empty(0), *(curve.range()[1] for curve in curves.values())])
    numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
    low = float(numbers.min()) if len(numbers) else 0.1
    high = max(2 * low, min(float(numbers.max()), 3.0)) if len(numbers) else 1.0
    columns = [column for column in table.headings if any(row[column] is not None for row in rows)]
    headings = [table.headings[column] for column in columns]
    headings.insert(1, f"log {table.name}" if curves else "")
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    lines = []
    for row in sorted(rows, key=rank):
        curve = curves.get(str(row["system"]))
        mark = ' class="diverged"' if row["diverged_at"] is not None else ""
        cells = [_cell(column, row[column]) for column in columns]
        cells.insert(1, sparkline(curve, low, high, table.name) if curve else "")
        lines.append(f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    note = "Means over seeds at the last logged step, ± standard deviation. " if len(rows) else ""
    note += f"The curves show log {table.name} over training, from {short(low)} to {short(high)}." if curves else ""
    body = "\n".join(lines)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>\n{body}\n</tbody></table></div><p class="note">{note}</p>'
    )


def _cell(column: str, value: float | str | None) -> str:
    """Write a value as one reads it; empty for none."""
    if value is None or isinstance(value, str):
        return escape(value or "")
    return f"{value:,.0f}" if column in _COUNTS else short(value)


def _figure(name: str, caption: str, png: bytes) -> str:
    """Write a figure with its picture inside the page."""
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{escape(name)}</b>: {escape(caption)}</figcaption></figure>"
    )


def _run(run: Run) -> str:
    """Write what is known of a run: how to repeat it, and its configuration."""
    cut = f"<p>{run.skipped_lines} incomplete line of metrics.csv was left out.</p>" if run.skipped_lines else ""
    if run.config is None:
        return f"<details><summary>{escape(run.name)}</summary>{cut}<p>There is no config.yaml.</p></details>"
    return (
        f"<details><summary>{escape(run.name)}</summary>{cut}<p>Settings, from the run's config.yaml; "
        f"<code>qcodec fit --config config.yaml</code> repeats it:</p>"
        f"<pre>{escape(run.config)}</pre></details>"
    )
