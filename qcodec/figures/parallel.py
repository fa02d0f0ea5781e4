"""Trials of a sweep as lines across its settings."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qcodec.figures import style
from qcodec.figures.words import cut, short
from qcodec.runs.read import FloatArray
from qcodec.runs.sweep_table import SweepTable

_MOST_NAMES = 12


def draw(table: SweepTable) -> Figure:
    """Draw a sweep's trials: an axis for each setting, and the value that they came to on the last."""
    columns = {_short(name, table.settings): [row[name] for row in table.rows] for name in table.settings}
    return parallel(columns, np.array(table.values()), metric=table.metric, lower=table.direction == "minimize")


def _short(name: str, names: Sequence[str]) -> str:
    """Return the last parts of a dotted name that tell it from the others."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        last = ".".join(parts[-count:])
        if sum(other == name or other.endswith(f".{last}") for other in names) == 1:
            return last
    return name


@style.styled
def parallel(columns: Mapping[str, Sequence[str]], values: FloatArray, *, metric: str, lower: bool) -> Figure:
    """Draw parallel coordinates: each trial is a line through its settings, the better the darker.

    Settings that are numbers have an axis of numbers, logarithmic where they span more than a factor of 20; others have
    a place for each word. Trials without a finite value, such as those that diverged, end above the last axis.

    Args:
        columns: Settings by name, a word for each trial.
        values: ``(trials,)`` what they came to.
        metric: Its name.
        lower: Whether less of it is better.

    Raises:
        ValueError: Without a trial.
    """
    if not len(values):
        raise ValueError("there is no trial to draw: run the sweep")
    figure = Figure(figsize=(style.WIDTH, 3.4))
    axes = style.axes_in_inches(figure, 0.75, 0.5, 5.6, 2.3)
    style.titled(figure, "Trials of the sweep", "a line is a trial, the better the darker; red: diverged or failed")
    finite = np.isfinite(values)
    heights = [_place(axes, number, words) for number, words in enumerate(columns.values())]
    top, ticks = _scaled(np.where(finite, values, np.nan))
    last = np.where(finite, top, 1.08)
    _axis(axes, len(columns), ticks)
    across = np.arange(len(columns) + 1)
    order = np.argsort(np.where(finite, values if lower else -values, np.inf))[::-1]
    for rank, trial in enumerate(order):
        good = (rank + 1) / len(order)
        colour, alpha, width = style.ACCENT, 0.12 + 0.88 * good**3, 0.6 + 1.4 * good**6
        if not finite[trial]:
            colour, alpha, width = style.WARNING, 0.4, 0.6
        line = [*(each[trial] for each in heights), last[trial]]
        axes.plot(across, line, color=colour, alpha=alpha, linewidth=width, clip_on=False)
    axes.set(xlim=(0, len(columns)), ylim=(0, 1), yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(across, [*(cut(name, 22) for name in columns), cut(metric, 26)])
    axes.tick_params(axis="x", length=0, pad=8)
    return figure


def _place(axes: Axes, at: int, words: Sequence[str]) -> FloatArray:
    """Draw the axis of a setting, and return each trial's height on it."""
    try:
        numbers = np.array([float(word) for word in words])
        if not np.isfinite(numbers).all():
            raise ValueError("no number")
    except ValueError:
        names = list(dict.fromkeys(words))
        heights = dict(zip(names, np.linspace(0, 1, len(names)) if len(names) > 1 else [0.5], strict=True))
        _axis(axes, at, {heights[name]: cut(name, 16) for name in names[:_MOST_NAMES]})
        return np.array([heights[word] for word in words])
    heights_of, ticks = _scaled(numbers)
    _axis(axes, at, ticks)
    return heights_of


def _scaled(numbers: FloatArray) -> tuple[FloatArray, dict[float, str]]:
    """Return heights from 0 to 1, and what stands at five of them."""
    known = numbers[np.isfinite(numbers)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    log = low > 0 and high / low > 20
    held = np.log(numbers) if log else numbers
    ends = np.log([low, high]) if log else np.array([low, high])
    width = float(ends[1] - ends[0])
    if width == 0:
        return np.where(np.isfinite(numbers), 0.5, np.nan), {0.5: short(low)}
    steps = np.linspace(0, 1, 5)
    values = ends[0] + steps * width
    return (held - ends[0]) / width, {
        float(step): short(float(np.exp(x) if log else x)) for step, x in zip(steps, values, strict=True)
    }


def _axis(axes: Axes, at: int, ticks: Mapping[float, str]) -> None:
    axes.plot([at, at], [0, 1], color=style.MUTED, linewidth=0.7, zorder=1.5, clip_on=False)
    for height, word in ticks.items():
        axes.annotate(
            word, (at, height), (3, 0), textcoords="offset points", fontsize=style.SMALL, color=style.MUTED,
            va="center", annotation_clip=False, zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.7},
        )  # fmt: skip
