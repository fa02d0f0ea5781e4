"""Where a clip's bits go, at each of several rates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qcodec.figures import style
from qcodec.figures.spectrogram import draw_spectrogram
from qcodec.runs.read import FloatArray

_LEFT, _WIDTH = 0.5, 5.15  # of the axes, in inches
_SHADES = ("#6db3dd", "#3a8fca", "#0b64a8", "#08306b")  # of rates, from low to high


@dataclass(frozen=True)
class AllocatedClip:
    """A clip and what was allocated to its frames.

    Attributes:
        audio: ``(L,)`` samples.
        importance: ``(T,)`` importance of the frames, 0 to 1; ``None`` where bits are allocated by none.
        bits: ``(T,)`` bits per frame, side information included, by the name of each rate, from low to high.
        sample_rate: In Hz.
        frame_rate: Frames per second.
    """

    audio: FloatArray
    importance: FloatArray | None
    bits: Mapping[str, FloatArray]
    sample_rate: int
    frame_rate: float

    def __post_init__(self) -> None:
        by_frame = [*self.bits.values(), *([] if self.importance is None else [self.importance])]
        lengths = {len(values) for values in by_frame}
        if not self.bits or len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"frames of importance and bits must agree, and are {sorted(lengths)}: give one clip's")

    @property
    def seconds(self) -> FloatArray:
        """``(T + 1,)`` where frames begin and end."""
        return np.arange(len(next(iter(self.bits.values()))) + 1) / self.frame_rate


@style.styled
def allocation_figure(clip: AllocatedClip, *, title: str) -> Figure:
    """Draw importance over the spectrogram, and below it the bits per frame at each rate, with their mean."""
    figure = Figure(figsize=(style.WIDTH, 4.2))
    style.titled(figure, title)
    top = style.axes_in_inches(figure, _LEFT, 2.12, _WIDTH, 1.6)
    bottom = style.axes_in_inches(figure, _LEFT, 0.42, _WIDTH, 1.5)
    draw_spectrogram(top, clip.audio, clip.sample_rate)
    top.set_ylabel("kHz")
    top.grid(False)
    if clip.importance is not None:
        _draw_importance(top, clip.importance, clip.seconds)
    _draw_bits(bottom, clip)
    for axes in (top, bottom):
        axes.set_xlim(0, float(clip.seconds[-1]))
    top.set_xticklabels([])
    bottom.set_xlabel("seconds")
    return figure


def _draw_importance(axes: Axes, importance: FloatArray, seconds: FloatArray) -> None:
    over = style.right_axis(axes)
    over.set_ylim(0, 1)
    for width, colour in ((2.6, "#000000"), (1.1, "#ffffff")):
        over.stairs(importance, seconds, baseline=None, linewidth=width, color=colour, zorder=3)
    over.set_ylabel("importance (white)")


def _draw_bits(axes: Axes, clip: AllocatedClip) -> None:
    highest = max(float(bits.max()) for bits in clip.bits.values())
    axes.set_ylim(0, 1.08 * highest)
    axes.set_ylabel("bits per frame")
    labels = []
    for index, (name, bits) in enumerate(clip.bits.items()):
        colour = _SHADES[-1 - (len(clip.bits) - 1 - index) * len(_SHADES) // max(len(clip.bits), len(_SHADES))]
        axes.stairs(bits, clip.seconds, baseline=None, linewidth=1.1, color=colour)
        rate = f"{float(bits.mean()) * clip.frame_rate / 1000:.2f} kbps"
        labels.append(style.Label(float(bits[-1]) / (1.08 * highest), name, colour, rate))
    style.label_column(axes, labels)
