"""The leaderboard: tables and a page that are made of the files of its entries alone."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qcodec.atomic_write import atomic_write
from qcodec.figures.data import Axis, Curve
from qcodec.figures.words import short
from qcodec.report.comparison import SOLVED, holm, paired
from qcodec.report.leaderboard_entry import Entry, as_array, finite_median, read_entries
from qcodec.report.page import render, sparkline

RANKED = 10  # seeds from which an entry is ranked: with 5, no test of signs can tell two entries apart (p >= 0.0625)
START, END = "<!-- leaderboard -->", "<!-- end -->"


@dataclass(frozen=True)
class Row:
    """A row of the table: cells, a number for each to sort by, and the points of the curve of MA-E."""

    cells: tuple[str, ...]
    keys: tuple[float | str, ...]
    points: str
    level: bool = False  # with the leader: the seeds do not tell them apart


HEADINGS = (
    "entry", "quantizer", "estimator", "seeds", "solved", "hard MSE, median", "least", "greatest", "effective bits",
    "bits lost", "half way at update", "diverged", "hard / soft MSE", "code use", "time", "learning rate",
)  # fmt: skip


def tables(entries: Sequence[Entry]) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield title, note and rows of each table: ranked, screened, and of other tasks than most entries have."""
    tasks = [entry.task for entry in entries]
    usual = max(sorted(set(tasks)), key=tasks.count)
    here = [entry for entry, task in zip(entries, tasks, strict=True) if task == usual]
    under = f"at {usual[0]:g} bits a frame, {usual[1]:,} updates"
    ranked = [entry for entry in here if len(entry.seeds) >= RANKED]
    screened = [entry for entry in here if len(entry.seeds) < RANKED]
    elsewhere = [entry for entry, task in zip(entries, tasks, strict=True) if task != usual]
    if ranked:
        note = (
            f"{RANKED} seeds or more. Those marked = cannot be told from the first (p of a permutation test by seed, "
            f"corrected for {len(ranked) - 1} comparisons, is 0.05 or more)."
        )
        yield f"Ranked, {under}", note, _rows(ranked, _level(ranked))
    if screened:
        note = "Too few seeds to tell neighbours apart: an order to choose from what is trained with more, no ranking."
        yield f"Screened, {under}", note, _rows(screened)
    if elsewhere:
        elsewhere.sort(key=lambda entry: entry.lost)
        yield (
            "At other rates, lengths or on other data",
            "In the order of the bits that are lost against R(D) at their own rate.",
            _rows(elsewhere),
        )


def _level(ranked: Sequence[Entry]) -> set[str]:
    """Return the names of those that the seeds which both have do not tell from the first."""
    first, *others = ranked
    p_values = []
    for other in others:
        seeds = sorted(set(first.seeds) & set(other.seeds))
        if len(seeds) < 2:
            p_values.append(1.0)
            continue
        held = [each.of("hard_mse")[[each.seeds.index(seed) for seed in seeds]] for each in (first, other)]
        p_values.append(paired(held[0], held[1], floor=SOLVED).p)
    return {other.name for other, p in zip(others, holm(p_values), strict=True) if p >= 0.05}


def _rows(entries: Sequence[Entry], level: Collection[str] = ()) -> list[Row]:
    curves = [Curve(np.array(entry.steps), as_array(entry.curves["ma_e"])[None]) for entry in entries]
    every = np.concatenate([curve.values.ravel() for curve in curves])
    seen = every[np.isfinite(every) & (every > 0)]
    low, high = float(min(seen, default=1.0)), float(max(seen, default=1.0))
    axis = Axis(low, max(high, 1.01 * low), log=True)
    return [
        replace(_row(entry), points=sparkline(curve, axis), level=entry.name in level)
        for entry, curve in zip(entries, curves, strict=True)
    ]


def _row(entry: Entry) -> Row:
    hard, n = entry.of("hard_mse"), len(entry.seeds)
    solved = int((hard < SOLVED).sum())
    lost = sum(each is not None for each in entry.diverged_at)
    gap = finite_median(hard / entry.of("mse"))
    ends = [float(f(np.nan_to_num(hard, nan=np.inf))) for f in (np.median, np.min, np.max)]
    use = finite_median(entry.of("entropy_bits")) / entry.bits
    rate = (entry.system.get("schedule") or {}).get("init_args", {}).get("rate")
    half, time = entry.half_way, entry.relative_time
    named = (entry.name, *_parts(entry.system))
    cells = (
        *named, str(n), f"{solved} of {n}", *map(_number, ends), f"{entry.carried:.1f}", f"{entry.lost:.1f}",
        "never" if half is None else f"{half:,.0f}", f"{lost} of {n}", _number(gap),
        f"{use:.0%}" if np.isfinite(use) else "", "" if time is None else f"{time:.2f}",
        "" if rate is None else f"{rate:g}",
    )  # fmt: skip
    keys = (
        *named, n, solved / n, *ends, entry.carried, entry.lost, np.inf if half is None else half, lost / n, gap, use,
        time or 0.0, rate or 0.0,
    )  # fmt: skip
    return Row(cells, keys, "")


def _number(value: float) -> str:
    return short(value) if np.isfinite(value) else ""


def _parts(system: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of the class of a system's quantizer and of its estimator, the first in the depth."""
    quantizer = system.get("quantizer") or {}
    name = str(quantizer.get("class_path", "Identity")).rpartition(".")[2]
    return name, next((str(path).rpartition(".")[2] for path in _estimators(quantizer)), "")


def _estimators(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        estimator = settings.get("estimator")
        if isinstance(estimator, Mapping) and "class_path" in estimator:
            yield estimator["class_path"]
        for value in settings.values():
            yield from _estimators(value)


def markdown(entries: Sequence[Entry]) -> str:
    """Return the tables as Markdown, without the columns that only the page has."""
    parts = []
    shown = [HEADINGS.index(name) for name in HEADINGS if name not in ("quantizer", "estimator", "hard / soft MSE")]
    for title, note, rows in tables(entries):
        lines = [
            f"**{title}.** {note}",
            "",
            "| " + " | ".join(HEADINGS[k] for k in shown) + " |",
            "|---" * len(shown) + "|",
        ]
        for row in rows:
            cells = [row.cells[k] for k in shown]
            lines.append("| " + " | ".join([f"`{cells[0]}`{' =' * row.level}", *cells[1:]]) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def page(entries: Sequence[Entry]) -> str:
    """Return the leaderboard as one page whose columns can be sorted and whose rows can be filtered."""
    return render("leaderboard.html", headings=HEADINGS, tables=list(tables(entries)), entries=entries)


def build(folder: Path, output: Path) -> Path:
    """Write the page to ``output``, and the tables into ``README.md`` of ``folder``, whose ``entries`` are read.

    In the README they replace what lies between ``<!-- leaderboard -->`` and ``<!-- end -->``; without these, or
    without a README, there is the page alone.
    """
    entries = read_entries(folder / "entries")
    readme = folder / "README.md"
    if readme.is_file() and START in (text := readme.read_text(encoding="utf-8")):
        before, _, rest = text.partition(START)
        content = f"{before}{START}\n{markdown(entries)}\n{END}{rest.partition(END)[2]}"
        with atomic_write(readme) as file:
            file.write(content.encode())
    with atomic_write(output) as file:
        file.write(page(entries).encode())
    return output
