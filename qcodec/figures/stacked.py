"""Panels of curves over training, one above the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from qcodec.figures import style as style
from qcodec.figures.curves import panel
from qcodec.figures.data import Axis, Curve

_HIGH, _GAP, _EDGE = 1.75, 0.3, 4.2 / 6.3  # height of a panel and between two, in inches; the data's share of the width


@dataclass(frozen=True)
class Panel:
    """Curves by name, of one metric.

    Attributes:
        label: Name of the metric.
        curves: One curve for each system or run, one at least.
        axis: Of the values.
        references: Labelled horizontal lines.
    """

    label: str
    curves: Mapping[str, Curve]
    axis: Axis
    references: Mapping[str, float] = field(default_factory=dict)


@style.styled
def stacked(panels: Sequence[Panel], *, title: str, note: str = "", xlabel: str = "update") -> Figure:
    """Draw panels over one horizontal axis, the first on top.

    A cross marks where a run that diverged was stopped; where a curve leaves its axis, an arrow head marks the place.

    Args:
        panels: One at least.
        title: Written above.
        note: Written below the title.
        xlabel: Name of the horizontal axis.

    Raises:
        ValueError: Where there is no panel.
    """
    if not panels:
        raise ValueError(f"no curve to draw in the figure {title!r}: give at least one")
    end = max(float(curve.updates[-1]) for each in panels for curve in each.curves.values()) or 1.0
    high = max(_HIGH, style.LINE_OF_TEXT * max(len(each.curves) + len(each.references) for each in panels))
    height = 0.95 + len(panels) * high + (len(panels) - 1) * _GAP
    figure = Figure(figsize=(style.WIDTH, height))
    for row, each in enumerate(panels):
        bottom = height - 0.5 - high - row * (high + _GAP)
        axes = style.axes_in_inches(figure, 0.62, bottom, 6.3, high)
        panel(axes, each.curves, each.axis, end, _EDGE, each.references)
        axes.set_ylabel(each.label)
        if row == len(panels) - 1:
            axes.set_xlabel(xlabel, x=style.share(_EDGE) / 2)
        else:
            axes.tick_params(labelbottom=False)
    style.titled(figure, title, note)
    return figure
