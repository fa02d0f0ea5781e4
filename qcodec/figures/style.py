"""The look of every figure in one place: ``qcodec.mplstyle``, colours, axes, and labels that do not overlap."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.optimize import isotonic_regression

from qcodec.figures.data import Axis
from qcodec.figures.words import cut, plain
from qcodec.runs.read import FloatArray

P = ParamSpec("P")
DPI, WIDTH, COLUMN = 200, 7.1, 3.5  # the style's; WIDTH of a page with two columns and of one of them, in inches
_MARGIN = 0.48  # most of a single column that is left free on the right, in inches
TEXT, SMALL, TITLE = 7.5, 6.5, 9.0  # font sizes in points
LINE_OF_TEXT = (TEXT + 2.4) / 72  # height of a label in inches
INK, MUTED, GRID, OTHERS = "#222222", "#6b6b6b", "#e4e4e4", "#c9c9c9"
ACCENT, WARNING = "#0072B2", "#C23B00"
BAND = 0.16  # opacity of the bands
REFERENCE: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "dashes": (4, 3), "zorder": 1.5}

SOLID, LONG, DOTS, DASHED = "-", (0, (5, 1.3)), (0, (1, 1)), (0, (4, 3))
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
_OTHER_DASHES: tuple[DashStyle, ...] = ((0, (3, 1, 1, 1)), (0, (8, 2)), (0, (2, 2)), (0, (5, 1, 1, 1, 1, 1)))


# Labels of a figure that is drawn as wide as one column of a paper; None where figures are as wide as the page.
_below: ContextVar[list["Label"] | None] = ContextVar("labels below", default=None)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Wrap a function so that it draws in the package's style, ``qcodec.mplstyle``, which is not left set."""

    @wraps(draw)
    def draw_in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(Path(__file__).with_name("qcodec.mplstyle")):
            labels = _below.get()
            if labels is None:
                return draw(*args, **kwargs)
            labels.clear()
            figure = draw(*args, **kwargs)
            _narrow(figure, labels)
            return figure

    return draw_in_style


@contextmanager
def single_column() -> Iterator[None]:
    """Draw figures as wide as one column of a paper: labels below the data, and no title, which the caption has."""
    token = _below.set([])
    try:
        yield
    finally:
        _below.reset(token)


def is_single_column() -> bool:
    """Return whether figures are drawn as wide as one column of a paper."""
    return _below.get() is not None


def share(of_the_width: float) -> float:
    """Return the share of axes' width that is left for the data: all of it where labels stand below."""
    return 1.0 if is_single_column() else of_the_width


def columns(of_panels: int) -> int:
    """Return how many panels stand side by side, of the number that a page's width holds."""
    return max(1, int(of_panels * COLUMN / WIDTH)) if is_single_column() else of_panels


def _narrow(figure: Figure, labels: Sequence["Label"]) -> None:
    """Take the title's room from a figure, and add the labels below it."""
    height = figure.get_figheight()
    boxes = [axes.get_position() for axes in figure.axes]
    above = (1 - max(box.y1 for box in boxes)) * height - 0.2
    more = LINE_OF_TEXT * len(labels) + 0.06 * bool(labels)
    total = height - above + more
    figure.set_size_inches(COLUMN, total)
    for axes, box in zip(figure.axes, boxes, strict=True):
        axes.set_position((box.x0, (box.y0 * height + more) / total, box.width, box.height * height / total))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * height + more) / total)
    left = min(box.x0 for box in boxes)
    for row, label in enumerate(labels):
        y = (more - 0.06 - LINE_OF_TEXT * (row + 0.4)) / total
        line = Line2D([0.02, left - 0.02], [y, y], color=label.colour, linewidth=1.4)
        line.set(linestyle=label.dashes)
        mark = Line2D([left / 2], [y], color=label.colour, linestyle="none", marker=label.marker, markersize=4.5)
        figure.add_artist(mark if label.marker else line)
        words = "  ".join(filter(None, (label.text, label.second)))
        figure.text(left, y, cut(words, 62), fontsize=SMALL, color=label.colour, va="center")


def slots(systems: Sequence[str]) -> dict[str, tuple[str, DashStyle, str]]:
    """Return colour, dashes and marker of systems: one named in the paper keeps its own in every figure.

    An audio codec named by its estimator, such as ``small_mste_cl``, has those of the surrogate with that estimator.
    From the 11th system on the colours come again with other dashes and markers; 100 systems differ.

    Example:
        >>> slots(["small_mste_cl"]) == {"small_mste_cl": slots(["sq_mste_cl"])["sq_mste_cl"]}
        True
    """
    taken = {system: system for system in systems if system in SLOTS}
    for system in systems:
        known = re.search(r"(?:^|_)(m?ste(?:_cl)?)$", system)
        if known and f"sq_{known[1]}" not in taken.values():
            taken.setdefault(system, f"sq_{known[1]}")
    order = list(SLOTS)
    free = [order.index(name) for name in SLOTS if name not in taken.values()]
    others = [system for system in systems if system not in taken]
    places = dict(zip(others, [*free, *range(len(SLOTS), len(SLOTS) + len(others))], strict=False))
    return {system: _look(order.index(taken[system]) if system in taken else places[system]) for system in systems}


def _look(place: int) -> tuple[str, DashStyle, str]:
    """Return the look of a place: those of the paper's systems first, then their colours in other ways."""
    turn, at = divmod(place, len(SLOTS))
    colour, dashes = list(SLOTS.values())[at]
    return colour, _OTHER_DASHES[(turn - 1) % len(_OTHER_DASHES)] if turn else dashes, MARKERS[(at + turn) % 10]


def axes_in_inches(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a position in inches on a page's width; in a single column they are as wide as that leaves."""
    if is_single_column():
        right = min(WIDTH - left - width, _MARGIN)
        left = min(left, 0.4 * COLUMN)
        width = COLUMN - left - right
    return panel_in_inches(figure, left, bottom, width, height)


def panel_in_inches(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes of one size at a position in inches, whatever the width of the figure."""
    total_width = COLUMN if is_single_column() else figure.get_figwidth()
    total_height = figure.get_figheight()
    axes = figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))
    axes.grid(axis="y")
    return axes


def right_axis(axes: Axes) -> Axes:
    """Add a second vertical axis on the right."""
    right = axes.twinx()
    right.spines[:].set_visible(False)
    right.spines.right.set_visible(True)
    return right


def titled(figure: Figure, title: str, note: str = "") -> None:
    """Write a bold title at the top left of a figure, and below it a small note; in a single column neither."""
    if is_single_column():
        return
    height = figure.get_figheight()
    figure.text(0.01, 1 - 0.1 / height, title, fontsize=TITLE, weight="bold", va="top")
    figure.text(0.01, 1 - 0.29 / height, cut(note, 145), fontsize=SMALL, color=MUTED, va="top")


def scale(axes: Axes, axis: Axis) -> None:
    """Set range and scale of the y axis."""
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
    fitted = isotonic_regression(wanted[order] - offset).x
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
    dashes: DashStyle = SOLID  # of its curve

    @property
    def name(self) -> str:
        """Its text without the value."""
        return self.text.split("  ")[0]


def label_column(axes: Axes, labels: Sequence[Label], edge: float = 1.0) -> None:
    """Write labels right of ``edge`` (a fraction of the axes' width), near their points' heights without overlap.

    In a single column they stand below the figure: those that several axes have once, without the values.
    """
    below = _below.get()
    if below is not None:
        known = {label.name: place for place, label in enumerate(below)}
        for label in labels:
            if label.name in known:
                below[known[label.name]] = replace(label, text=label.name)
            else:
                below.append(label)
        return
    extent = axes.get_window_extent()
    inch, points = DPI / extent.width, extent.height / DPI * 72
    line = LINE_OF_TEXT * 72
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
