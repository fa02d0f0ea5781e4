"""Curves over training in axes: what the figures of them share."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from qcodec.figures import style as style
from qcodec.figures.data import Axis, Curve
from qcodec.figures.words import plain, short, two_lines


def panel(
    axes: Axes, curves: Mapping[str, Curve], axis: Axis, end: float, edge: float, references: Mapping[str, float]
) -> None:
    """Draw curves from 0 to ``end`` in the left part of axes, up to ``edge``, and their labels right of them.

    In a single column the data have the whole width.
    """
    edge = style.share(edge)
    style.scale(axes, axis)
    axes.set_xlim(0, end / edge)
    axes.spines["bottom"].set_bounds(0, end)
    locator = MaxNLocator(8, integer=end >= 1, steps=[1, 2, 5, 10], min_n_ticks=1)
    axes.set_xticks([tick for tick in locator.tick_values(0, end) if 0 <= tick <= end * 1.001])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}" if value < 1e6 else plain(value))
    labels = []
    for name, value in references.items():
        axes.plot([0, end], [value, value], **style.REFERENCE)
        labels.append(style.Label(axis.fraction(value), f"{name}  {short(value)}", dashes=style.DASHED))
    for name, (colour, dashes, _) in style.slots(list(curves)).items():
        curve = curves[name]
        draw_curve(axes, curve, axis, colour, dashes)
        text, second = two_lines(name, short(curve.last), curve.fate())
        start = float(curve.updates[-1]) / end
        labels.append(style.Label(axis.fraction(curve.last), text, colour, second, start, dashes=dashes))
        if curve.diverged and start < 1:  # stopped there
            height = axis.held(curve.range()[1][-1:])
            axes.plot(curve.updates[-1:], height, "X", color=colour, markersize=6, clip_on=False, zorder=5)
    style.label_column(axes, labels, edge)


def draw_curve(axes: Axes, curve: Curve, axis: Axis, colour: str, dashes: style.DashStyle) -> None:
    """Draw a curve with its band; where it leaves the axis at the top, an arrow head marks the place."""
    least, middle, most = curve.range()
    if len(curve.values) > 1:
        band = axis.held(least), axis.held(most)
        axes.fill_between(curve.updates, *band, color=colour, alpha=style.BAND, linewidth=0, zorder=2)
    axes.plot(curve.updates, axis.line(middle), color=colour, linestyle=dashes, zorder=3)
    dot = np.isfinite(middle) & (np.count_nonzero(np.isfinite(middle)) == 1)  # a line of one point is invisible
    axes.plot(curve.updates[dot], axis.held(middle[dot]), "o", color=colour, markersize=3.5, clip_on=False)
    above = np.flatnonzero(middle >= axis.high)[:1]
    axes.plot(curve.updates[above], [axis.high] * len(above), "^", color=colour, markersize=5, clip_on=False, zorder=4)
