"""The figure of a metric over training."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qcodec.figures import style as style
from qcodec.figures.curves import draw_curve, panel
from qcodec.figures.data import Axis, Curve, fit_axis, over_epochs
from qcodec.figures.drawn import Drawn, curves_of, seeds_in_words, spread_in_words
from qcodec.figures.words import cut, short
from qcodec.runs.read import FloatArray, Run
from qcodec.runs.schema import Bound, Metric

MOST_LINES = 10  # beyond this many systems, each has a panel of its own
BITS = "effective bits per frame, R(D)"


def draw(run: Run) -> Iterator[Drawn]:
    """Draw one figure of each metric of a run that has one."""
    for metric in run.described:
        if metric.drawn and (curves := curves_of(run, metric.name)):
            yield _captioned(run, metric, curves)


def draw_over_updates(run: Run) -> Iterator[Drawn]:
    """Draw one figure of each metric of a run whose epochs differ in length."""
    return draw(replace(run, updates_per_epoch=None))


def _captioned(run: Run, metric: Metric, curves: Mapping[str, Curve]) -> Drawn:
    references = run.description.references if metric.distortion else None
    bound = run.description.bound if metric.distortion else None
    period = run.updates_per_epoch
    figure = over_training(
        curves, metric.label, title=metric.title, updates_per_epoch=period, references=references, bound=bound
    )
    text = "; right-hand axis: the least bits per frame that any codec needs for that distortion" if bound else ""
    name = re.sub(r"[^\w.-]+", "_", metric.name)
    return Drawn(name, f"{metric.title}{seeds_in_words(curves)}{text}.", figure)


@style.styled
def over_training(
    curves: Mapping[str, Curve],
    ylabel: str,
    *,
    title: str,
    updates_per_epoch: int | None = None,
    references: Mapping[str, float] | None = None,
    bound: Bound | None = None,
) -> Figure:
    """Draw a metric over training: lines are medians, bands reach from the least to the greatest seed.

    Args:
        curves: One curve per system; above ``MOST_LINES`` each has a panel of its own.
        ylabel: Name of the metric.
        title: Written above.
        updates_per_epoch: Makes the horizontal axis count epochs.
        references: Labelled horizontal lines.
        bound: R(D) of the data, for a metric that is its distortion; adds a right-hand axis of effective bits.

    Raises:
        ValueError: Where there is no curve.
    """
    if not curves:
        raise ValueError(f"no system to draw in the figure {title!r}: give at least one curve")
    references = references or {}
    axis = fit_axis(curves, references)
    scaled, xlabel = over_epochs(curves, updates_per_epoch)
    end = max(float(curve.updates[-1]) for curve in scaled.values()) or 1.0
    layout = _in_one_panel if len(curves) <= MOST_LINES else _in_panels
    figure = layout(scaled, axis, end, references, bound, (xlabel, ylabel))
    note = spread_in_words(curves)
    if len(curves) > MOST_LINES:
        note += "; coloured: the system named, with its last value (red: diverged); grey: all others"
    if references and len(curves) > MOST_LINES:
        note += "; dashed: " + ", ".join(f"{name} ({value:.3g})" for name, value in references.items())
    style.titled(figure, title, note)
    return figure


def _in_one_panel(
    curves: Mapping[str, Curve],
    axis: Axis,
    end: float,
    references: Mapping[str, float],
    bound: Bound | None,
    names: tuple[str, str],
) -> Figure:
    figure = Figure()
    axes = style.axes_in_inches(figure, 0.62, 0.48, 6.0 if bound else 6.3, 2.72)
    edge = 4.2 / (6.0 if bound else 6.3)  # the data's share of the width; the labels have the rest
    panel(axes, curves, axis, end, edge, references)
    axes.set_xlabel(names[0], x=style.share(edge) / 2)
    axes.set_ylabel(names[1])
    if bound:
        _bits_axis(axes, axis, bound, apart=0.055).set_ylabel(BITS)
    return figure


def _in_panels(
    curves: Mapping[str, Curve],
    axis: Axis,
    end: float,
    references: Mapping[str, float],
    bound: Bound | None,
    names: tuple[str, str],
) -> Figure:
    columns, wide, high = style.columns(5), 1.12, 0.72
    order = sorted(curves, key=lambda name: float(np.nan_to_num(curves[name].last, nan=np.inf, posinf=np.inf)))
    heads = [_wrapped(cut(name, 44), 22) for name in order]
    # the top edge of each row's panels lies below its longest head
    rows = [max(len(head) for head in heads[first : first + columns]) for first in range(0, len(order), columns)]
    tops = [0.46 + (high + 0.14) * row + 0.1 * sum(rows[: row + 1]) for row in range(len(rows))]
    height = tops[-1] + high + 0.46
    figure = Figure(figsize=(style.WIDTH, height))
    others = _joined([(curves[name].updates, axis.line(curves[name].range()[1])) for name in order])
    for index, name in enumerate(order):
        row, column = divmod(index, columns)
        axes = style.panel_in_inches(figure, 0.62 + column * (wide + 0.1), height - tops[row] - high, wide, high)
        style.scale(axes, axis)
        axes.set(xlim=(0, end), xticks=[0, end])
        axes.set_xticks([0, end], ["0", f"{end:,g}"])
        axes.get_xticklabels()[1].set_horizontalalignment("right")
        axes.plot(*others, color=style.OTHERS, linewidth=0.5)
        for value in references.values():
            axes.axhline(value, color=style.MUTED, linewidth=0.6, dashes=(4, 3))
        curve = curves[name]
        colour = style.WARNING if curve.diverged else style.ACCENT
        draw_curve(axes, curve, axis, colour, style.SOLID)
        axes.set_title("\n".join(heads[index]), fontsize=6, loc="left", pad=2.5, linespacing=1.1)
        axes.text(
            0.98, 0.97, short(curve.last), transform=axes.transAxes, fontsize=6, color=colour, ha="right",
            va="top", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
        )  # fmt: skip
        axes.tick_params(labelsize=5.5, labelleft=column == 0, labelbottom=index + columns >= len(order))
        if bound and (column == columns - 1 or index == len(order) - 1):
            _bits_axis(axes, axis, bound, apart=0.16).tick_params(labelsize=5.5)
    figure.supxlabel(names[0], y=0.06 / height, va="bottom")
    figure.supylabel(names[1], x=0.012)
    if bound:
        figure.text(0.985, 0.5, BITS, rotation=90, ha="right", va="center")
    return figure


def _bits_axis(axes: Axes, axis: Axis, bound: Bound, apart: float) -> Axes:
    """Add a right-hand axis on which a distortion reads as bits per frame; ticks lie ``apart`` of the height."""
    right = style.right_axis(axes)
    right.set_yscale("log" if axis.log else "linear")
    right.set_ylim(axis.low, axis.high)
    ticks: dict[float, float] = {}
    for bits in MaxNLocator(12).tick_values(0, bound.bits[-1]):
        value = float(np.interp(bits, bound.bits, bound.distortion))
        clear = all(abs(axis.fraction(value) - axis.fraction(other)) >= apart for other in ticks.values())
        if 0 <= bits < bound.bits[-1] and axis.low <= value <= axis.high and clear:
            ticks[float(bits)] = value
    right.set_yticks(list(ticks.values()), [f"{bits:g}" for bits in ticks])
    right.set_yticks([], minor=True)
    return right


def _joined(lines: Iterable[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Make one line out of many, with gaps between them."""
    gap = np.array([np.nan])
    parts = [(np.append(x, gap), np.append(y, gap)) for x, y in lines]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _wrapped(name: str, width: int) -> list[str]:
    """Break a name into lines, after an underscore or a space where it has one."""
    lines = [""]
    for part in re.findall(rf"[^_ ]{{1,{width}}}[_ ]?|[_ ]", name):
        if len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return lines
