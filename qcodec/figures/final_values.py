"""The figure of where every seed of every system ends."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qcodec.figures import style as style
from qcodec.figures.drawn import Drawn
from qcodec.figures.words import cut, plain, short
from qcodec.runs.read import FloatArray, Run

_LOWEST, _ROW = 1e-6, 0.17  # smaller values are drawn at the axis' end; inches per system


def draw(run: Run) -> Iterator[Drawn]:
    """Draw the last values of the first distortion that a run logged, where it has several systems."""
    metric = next((each for each in run.described if each.distortion and each.name in run.metrics), None)
    if metric and len(by_system := run.metrics[metric.name]) > 1:
        last = {system: series.last for system, series in by_system.items()}
        caption = f"{metric.title}: every seed at the last logged step, the best system first."
        xlabel, references = f"{metric.label}, last logged step", run.description.references
        yield Drawn("final", caption, final_values(last, xlabel, title="Where every seed ends", references=references))


@style.styled
def final_values(
    last: Mapping[str, FloatArray], xlabel: str, *, title: str, references: Mapping[str, float] | None = None
) -> Figure:
    """Draw the last value of every seed, one row per system, the best median first: dots are seeds, bars medians.

    Values that are no number or above the axis, which ends at three times the largest reference or value, are drawn as
    arrow heads at its end.

    Args:
        last: For each system its ``(seeds,)`` values, positive.
        xlabel: Name of the metric.
        title: Written above.
        references: Labelled vertical lines.

    Raises:
        ValueError: Where there is no system.
    """
    if not last:
        raise ValueError(f"no system to draw in the figure {title!r}: give at least one")
    references = references or {}
    values = {name: np.nan_to_num(seeds, nan=np.inf, posinf=np.inf) for name, seeds in last.items()}
    order = sorted(values, key=lambda name: (float(np.median(values[name])), float(values[name].max())))
    finite = np.concatenate([*(seeds[np.isfinite(seeds)] for seeds in values.values()), [*references.values()], [1e-3]])
    high = 3 * max([*references.values()] or [float(finite.max())])
    low = min(max(_LOWEST, float(finite.min()) / 2), high / 10)
    height = _ROW * len(order)
    figure = Figure(figsize=(style.WIDTH, height + 1.15))
    axes = style.axes_in_inches(figure, 1.75, 0.48, 4.6, height)
    style.titled(
        figure, title, "dots: seeds; bars: medians; arrow heads: beyond the axis; at the left end: less than that"
    )
    for row, name in enumerate(order):
        held = np.clip(values[name], low, high)
        lost = values[name] > high
        middle = float(np.median(held))
        colour = style.WARNING if lost.any() else style.ACCENT
        axes.plot([middle, middle], [row - 0.32, row + 0.32], color=colour, zorder=3)
        for chosen, marker in ((~lost, "o"), (lost, ">")):
            rows = np.full(chosen.sum(), row)
            axes.plot(held[chosen], rows, marker, color=colour, markersize=3.6, alpha=0.55, clip_on=False)
        axes.text(1.015, row, short(float(np.median(values[name]))), transform=axes.get_yaxis_transform(),
                  fontsize=style.SMALL, color=colour, va="center")  # fmt: skip
    words = [f"{name}  {short(value)}" for name, value in references.items()]
    if style.is_single_column():
        style.label_column(axes, [style.Label(0.0, each, dashes=style.DASHED) for each in words])
    for name, value in references.items():
        side = "left" if value == max(references.values()) else "right"
        axes.axvline(value, **style.REFERENCE)
        if not style.is_single_column():
            axes.text(value, -0.75, f"{name} {short(value)}", fontsize=style.SMALL, color=style.MUTED, ha=side,
                      va="bottom")  # fmt: skip
    axes.set_xscale("log")
    axes.set(xlim=(low, high), ylim=(len(order) - 0.5, -0.5))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(order)), [cut(name, 26 if style.is_single_column() else 34) for name in order])
    axes.set_xlabel(xlabel)
    return figure
