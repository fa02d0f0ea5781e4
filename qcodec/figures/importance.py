"""Figures of variable bitrate: where a clip's bits go, and what rate a level gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from qcodec.figures import style as style
from qcodec.figures.spectrogram import log_spectrogram
from qcodec.runs.read import FloatArray

_LEFT, _WIDTH = 0.5, 5.15  # of the axes, in inches
_FLOOR_DB = -80.0  # below the loudest bin
_SHADES = ("#6db3dd", "#3a8fca", "#0b64a8", "#08306b")  # of levels, from low to high
_MOST_NAMES = 10


@dataclass(frozen=True)
class AllocatedClip:
    """A clip and what was allocated to its frames.

    Attributes:
        audio: ``(L,)`` samples.
        importance: ``(T,)`` importance of the frames, 0 to 1.
        bits: ``(T,)`` bits per frame, side information included, by rate level.
        sample_rate: In Hz.
        frame_rate: Frames per second.
    """

    audio: FloatArray
    importance: FloatArray
    bits: Mapping[float, FloatArray]
    sample_rate: int
    frame_rate: float

    def __post_init__(self) -> None:
        lengths = {len(self.importance), *(len(bits) for bits in self.bits.values())}
        if not self.bits or len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"frames of importance and bits must agree, and are {sorted(lengths)}: give one clip's")

    @property
    def seconds(self) -> FloatArray:
        """``(T + 1,)`` where frames begin and end."""
        return np.arange(len(self.importance) + 1) / self.frame_rate


@style.styled
def allocation_figure(clip: AllocatedClip, *, title: str, note: str = "") -> Figure:
    """Draw importance over the spectrogram, and below it the bits per frame at each level, with their mean rate."""
    figure = Figure(figsize=(style.WIDTH, 4.2))
    style.titled(figure, title, note)
    top = style.axes_in_inches(figure, _LEFT, 2.12, _WIDTH, 1.6)
    bottom = style.axes_in_inches(figure, _LEFT, 0.42, _WIDTH, 1.5)
    _draw_importance(top, clip)
    _draw_bits(bottom, clip)
    for axes in (top, bottom):
        axes.set_xlim(0, float(clip.seconds[-1]))
    top.set_xticklabels([])
    bottom.set_xlabel("seconds")
    return figure


def _draw_importance(axes: Axes, clip: AllocatedClip) -> None:
    image = log_spectrogram(clip.audio)
    loudest = float(image.max())
    extent = (0.0, len(clip.audio) / clip.sample_rate, 0.0, clip.sample_rate / 2000)
    axes.imshow(
        image, cmap="magma", origin="lower", aspect="auto", extent=extent, vmin=loudest + _FLOOR_DB, vmax=loudest
    )
    axes.set_ylabel("kHz")
    axes.grid(False)
    over = style.right_axis(axes)
    over.set_ylim(0, 1)
    for width, colour in ((2.6, "#000000"), (1.1, "#ffffff")):
        over.stairs(clip.importance, clip.seconds, baseline=None, linewidth=width, color=colour, zorder=3)
    over.set_ylabel("importance (white)")


def _draw_bits(axes: Axes, clip: AllocatedClip) -> None:
    highest = max(float(bits.max()) for bits in clip.bits.values())
    axes.set_ylim(0, 1.08 * highest)
    axes.set_ylabel("bits per frame")
    labels = []
    levels = sorted(clip.bits)
    for level, colour in zip(levels, _shades(len(levels)), strict=True):
        bits = clip.bits[level]
        axes.stairs(bits, clip.seconds, baseline=None, linewidth=1.1, color=colour)
        text = f"level {style.short(level)}"
        rate = f"{float(bits.mean()) * clip.frame_rate / 1000:.2f} kbps"
        labels.append(style.Label(float(bits[-1]) / (1.08 * highest), text, colour, rate))
    style.label_column(axes, labels)


def _shades(count: int) -> Sequence[str]:
    """Give as many shades, from light to dark as far as they go round."""
    if count <= len(_SHADES):
        return _SHADES[len(_SHADES) - count :]
    return [_SHADES[index * len(_SHADES) // count] for index in range(count)]


@style.styled
def rate_figure(
    levels: FloatArray, kbps: Mapping[str, FloatArray], *, limits: tuple[float, float], title: str, note: str = ""
) -> Figure:
    """Draw the rate of each clip against the level: up to ten with their names, of more the range and their mean.

    Args:
        levels: ``(n,)`` rising levels.
        kbps: ``(n,)`` rates of each clip, by its name.
        limits: Rate of one codebook in every frame, and of all of them.
        title: Of the figure.
        note: Below the title.

    Raises:
        ValueError: For no clip, or fewer than two levels.
    """
    if not kbps or len(levels) < 2:
        raise ValueError(
            f"{len(kbps)} clips at {len(levels)} levels make no curve: give one clip and two levels at least"
        )
    figure = Figure(figsize=(style.WIDTH, 3.4))
    style.titled(figure, title, note)
    axes = style.axes_in_inches(figure, _LEFT, 0.46, 4.75, 2.42)
    axes.set_xscale("log")
    axes.set_xlim(float(levels[0]), float(levels[-1]))
    axes.set_xticks(_ticks(float(levels[0]), float(levels[-1])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.plain(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.08 * limits[1])
    axes.set_xlabel("level")
    axes.set_ylabel("kbps, side information included")
    for limit, text, down in zip(limits, ("one codebook a frame", "all codebooks"), (-8.5, 2.5), strict=True):
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
        labels.append(style.Label(float(rates[-1]) / top, style.cut(name, 25), colour))
    return labels


def _ticks(low: float, high: float) -> list[float]:
    """Give powers of two from ``low`` to ``high``."""
    return [2.0**power for power in range(-20, 21) if low <= 2.0**power <= high]
