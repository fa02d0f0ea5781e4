"""The look of every figure in one place: sizes, colours, axes, and labels that do not overlap."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qcodec.figures.data import Axis, FloatArray

DPI = 200
WIDTH = 7.1  # inches, a double column
TEXT, SMALL, TITLE = 7.5, 6.5, 9.0  # font sizes in points
INK, MUTED, GRID, OTHERS = "#222222", "#6b6b6b", "#e4e4e4", "#c9c9c9"
ACCENT, WARNING = "#0072B2", "#C23B00"
LINE, THIN, BAND = 1.4, 0.7, 0.16  # line widths in points, opacity of the bands
TICKS: dict[str, Any] = {"labelsize": SMALL, "length": 2.5, "width": THIN, "color": MUTED, "labelcolor": INK, "pad": 2}

SOLID, LONG, DOTS = "-", (0, (5, 1.3)), (0, (1, 1))
DashStyle = str | tuple[float, tuple[float, ...]]
# A colour-blind-safe set (Okabe and Ito's without its yellow, three of Tol's): with the commitment loss dashed.
SLOTS: dict[str, tuple[str, DashStyle]] = {
    "none": ("#000000", SOLID),
    "sq_ste": ("#D55E00", SOLID),
    "sq_ste_cl": ("#0072B2", LONG),
    "sq_ste_cl_120": ("#56B4E9", DOTS),
    "sq_mste": ("#009E73", SOLID),
    "sq_mste_cl": ("#999933", LONG),
    "na": ("#E69F00", SOLID),
    "na_cl": ("#CC79A7", LONG),
    "na_det": ("#882255", SOLID),
    "na_det_cl": ("#8C7B6B", LONG),
}
MARKERS = "osD^vP<X>h"


def slots(systems: Sequence[str]) -> dict[str, tuple[str, DashStyle, str]]:
    """Give colour, dashes and marker of up to 10 systems: a system named in the paper keeps its own in every figure.

    An audio codec named by its estimator, such as ``small_mste_cl``, has those of the surrogate with that estimator.

    Example:
        >>> slots(["small_mste_cl"]) == {"small_mste_cl": slots(["sq_mste_cl"])["sq_mste_cl"]}
        True
    """
    taken = {system: system for system in systems if system in SLOTS}
    for system in systems:
        known = re.search(r"(?:^|_)(m?ste(?:_cl)?)$", system)
        if known and f"sq_{known[1]}" not in taken.values():
            taken[system] = f"sq_{known[1]}"
    free = [name for name in SLOTS if name not in taken.values()]
    taken = {system: taken[system] if system in taken else free.pop(0) for system in systems}
    order = list(SLOTS)
    return {system: (*SLOTS[slot], MARKERS[order.index(slot)]) for system, slot in taken.items()}


def axes_in_inches(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a position in inches, with thin left and bottom spines and a horizontal grid."""
    total_width, total_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / total_width, bottom / total_height, width / total_width, height / total_height), axisbelow=True
    )
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(linewidth=THIN, color=MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.tick_params(**TICKS)
    return axes


def titled(figure: Figure, title: str, note: str = "") -> None:
    """Write a bold title at the top left of a figure, and below it a small note."""
    height = figure.get_figheight()
    figure.text(0.01, 1 - 0.1 / height, title, fontsize=TITLE, weight="bold", color=INK, va="top")
    figure.text(0.01, 1 - 0.29 / height, cut(note, 145), fontsize=SMALL, color=MUTED, va="top")


def scale(axes: Axes, axis: Axis) -> None:
    """Give the y axis its range and scale."""
    if axis.log:
        log_ticks(axes, axis.low, axis.high)
    else:
        axes.set_ylim(axis.low, axis.high)


def log_ticks(axes: Axes, low: float, high: float) -> None:
    """Make the y axis logarithmic from ``low`` to ``high``, with 1-2-5 ticks where it spans few decades."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 200 else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", length=1.5, width=0.5, color=MUTED)


def plain(value: float) -> str:
    """Write a tick's value as one would by hand: 0.001, 20, or a power of ten.

    Example:
        >>> plain(0.05), plain(1e6), plain(2e-5)
        ('0.05', '$10^{6}$', '$2{\\\\times}10^{-5}$')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10**exponent:.3g}"
    return f"$10^{{{exponent}}}$" if factor == "1" else f"${factor}{{\\times}}10^{{{exponent}}}$"


def short(value: float) -> str:
    """Write a value with three digits, as ``1.5e5`` where it is large and ``2.3e-5`` where it is small."""
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 1000 or not math.isfinite(value) else f"{value:.0f}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def cut(name: str, length: int) -> str:
    """Leave out the middle of a name that is longer than ``length``."""
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-(length - length // 2) :]}"


def two_lines(name: str, value: str, second: str) -> tuple[str, str]:
    """Write a label's first line, name and value, and its second; a long name pushes the value to the second."""
    return (f"{name}  {value}", second) if len(name) <= 16 else (cut(name, 25), second or value)


def spread(wanted: FloatArray, sizes: FloatArray, low: float, high: float) -> FloatArray:
    """Move label centres ``(labels,)`` as little as needed (least squares) so that none overlap in ``[low, high]``.

    The order of the labels is kept. Where all do not fit, they start at ``low`` and run beyond ``high``.

    Example:
        >>> spread(np.array([0.5, 0.5]), np.array([0.2, 0.2]), 0.0, 1.0).round(2).tolist()
        [0.4, 0.6]
    """
    if not len(wanted):
        return wanted
    order = np.argsort(wanted, kind="stable")
    size = sizes[order]
    offset = np.cumsum(size) - size / 2  # centre of each label if all were stacked from 0
    blocks: list[list[float]] = []  # [sum, count]: least-squares rising fit of the labels less their offsets
    for gap in wanted[order] - offset:
        blocks.append([float(gap), 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    fitted = np.concatenate([np.full(int(count), total / count) for total, count in blocks])
    placed = np.empty_like(wanted)
    placed[order] = np.maximum(np.minimum(fitted, high - float(size.sum())), low) + offset
    return placed


@dataclass(frozen=True)
class Label:
    """A text in the column right of the data, tied to a point in fractions of the axes."""

    height: float
    text: str
    colour: str = MUTED
    second: str = ""  # a second, smaller line
    start: float = 1.0  # where its leader line starts, as a fraction of the way to the column
    marker: str = ""  # shown instead of the leader line


def label_column(axes: Axes, labels: Sequence[Label], edge: float = 1.0) -> None:
    """Write labels right of ``edge`` (a fraction of the axes' width), near their points' heights without overlap."""
    extent = axes.get_window_extent()
    inch, points = DPI / extent.width, extent.height / DPI * 72
    line = TEXT + 2.4
    sizes = np.array([(line + (SMALL + 1.5) * bool(label.second)) / points for label in labels])
    heights = spread(np.array([label.height for label in labels]), sizes, -0.03, 1.04)
    for label, height, size in zip(labels, heights, sizes, strict=True):
        at = height + (size - line / points) / 2  # of the first of two lines
        style: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "color": label.colour}
        if label.marker:
            axes.plot([edge + 0.12 * inch], [at], label.marker, markersize=4.5, zorder=3, **style)
        else:
            across = [edge * label.start, edge + 0.03 * inch, edge + 0.15 * inch]
            axes.plot(across, [label.height, label.height, at], linewidth=0.6, alpha=0.8, zorder=1, **style)
        box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
        for text, size, down in ((label.text, TEXT, 0.0), (label.second, SMALL, SMALL + 2.2)):
            place = edge + 0.19 * inch, at - down / points
            axes.text(*place, text, fontsize=size, va="center_baseline", bbox=box if text else None, **style)
