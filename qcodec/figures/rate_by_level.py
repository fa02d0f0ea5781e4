"""What rate each level of a codec of variable bitrate is."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from qcodec.figures import style
from qcodec.figures.words import cut, plain
from qcodec.runs.read import FloatArray

_MOST_NAMES = 10


@style.styled
def rate_figure(
    levels: FloatArray, kbps: Mapping[str, FloatArray], *, limits: tuple[float, float], title: str
) -> Figure:
    """Draw the rate of each clip against the level: up to ten clips by name, of more the range and their mean.

    Args:
        levels: ``(n,)`` rising levels.
        kbps: ``(n,)`` rates of each clip, by its name.
        limits: Lowest and highest rate.
        title: Of the figure.

    Raises:
        ValueError: For no clip, or fewer than two levels.
    """
    if not kbps or len(levels) < 2:
        raise ValueError(
            f"{len(kbps)} clips at {len(levels)} levels make no curve: give one clip and two levels at least"
        )
    figure = Figure(figsize=(style.WIDTH, 3.4))
    style.titled(figure, title)
    axes = style.axes_in_inches(figure, 0.5, 0.46, 4.75, 2.42)
    axes.set_xscale("log")
    axes.set_xlim(float(levels[0]), float(levels[-1]))
    axes.set_xticks(_ticks(float(levels[0]), float(levels[-1])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.08 * limits[1])
    axes.set_xlabel("level")
    axes.set_ylabel("kbps, side information included")
    for limit, text, down in zip(limits, ("lowest rate", "highest rate"), (-8.5, 2.5), strict=True):
        axes.axhline(limit, **style.REFERENCE)
        axes.annotate(
            f"{text}  {limit:.2f}", (0.01, limit), (0, down), ("axes fraction", "data"), textcoords="offset points",
            fontsize=style.SMALL, color=style.MUTED,
        )  # fmt: skip
    style.label_column(axes, _draw_rates(axes, levels, kbps, 1.08 * limits[1]))
    return figure


def _draw_rates(axes: Axes, levels: FloatArray, kbps: Mapping[str, FloatArray], top: float) -> list[style.Label]:
    if len(kbps) > _MOST_NAMES:
        rates = np.stack(list(kbps.values()))
        axes.fill_between(levels, rates.min(0), rates.max(0), color=style.ACCENT, alpha=style.BAND, linewidth=0)
        kbps = {f"mean of {len(kbps)} clips": rates.mean(0)}
    labels = []
    for (name, rates), (colour, dashes, _) in zip(kbps.items(), style.slots(list(kbps)).values(), strict=True):
        axes.plot(levels, rates, color=colour, linestyle=dashes)
        labels.append(style.Label(float(rates[-1]) / top, cut(name, 25), colour))
    return labels


def _ticks(low: float, high: float) -> list[float]:
    """Return the powers of two from ``low`` to ``high``."""
    return [2.0**power for power in range(-20, 21) if low <= 2.0**power <= high]
