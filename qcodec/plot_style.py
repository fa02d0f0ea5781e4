"""The look of every figure in one place: sizes, colours, axes, and labels that do not overlap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DPI = 160
WIDTH = 7.1  # inches, a double column
TEXT, SMALL, TITLE = 7.5, 6.5, 9.0  # font sizes in points
INK, MUTED, GRID, OTHERS = "#222222", "#6b6b6b", "#e4e4e4", "#c9c9c9"
ACCENT, WARNING = "#0072B2", "#C23B00"
LINE, THIN, BAND = 1.4, 0.7, 0.16  # line widths in points, opacity of the bands

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
    """Give colour, dashes and marker of up to 10 systems: a system named in the paper keeps its own in every figure."""
    free = [name for name in SLOTS if name not in systems]
    taken = {system: system if system in SLOTS else free.pop(0) for system in systems}
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
    axes.tick_params(labelsize=SMALL, length=2.5, width=THIN, color=MUTED, labelcolor=INK, pad=2)
    return axes


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
    """A text in the column right of the axes, tied to a point in fractions of the axes."""

    height: float
    text: str
    colour: str = MUTED
    second: str = ""  # a second, smaller line
    start: float = 1.0  # where its leader line starts, from left to right
    marker: str = ""


def label_column(axes: Axes, labels: Sequence[Label]) -> None:
    """Write labels right of the axes, at the height of their points or as near as they fit without overlap."""
    points = axes.get_position().height * axes.get_figure(root=True).get_size_inches()[1] * 72  # type: ignore[union-attr]
    sizes = np.array([(TEXT + 2.2 + (SMALL + 1.5) * bool(label.second)) / points for label in labels])
    heights = spread(np.array([label.height for label in labels]), sizes, -0.03, 1.06)
    for label, height, size in zip(labels, heights, sizes, strict=True):
        at = height + (size - (TEXT + 2.2) / points) / 2  # of the first of two lines
        shared = {"transform": axes.transAxes, "clip_on": False}
        if label.marker:
            axes.plot([1.03], [at], label.marker, color=label.colour, markersize=4.5, zorder=3, **shared)
        else:
            joint = [label.start, max(label.start, 1.005), 1.03], [label.height, label.height, at]
            axes.plot(*joint, color=label.colour, linewidth=0.5, alpha=0.8, zorder=1, **shared)
        common = {"color": label.colour, "va": "center_baseline", **shared}
        axes.text(1.045, at, label.text, fontsize=TEXT, **common)
        if label.second:
            axes.text(1.045, at - (SMALL + 2.2) / points, label.second, fontsize=SMALL, **common)
