"""Spectrograms of clips, one above the other."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.signal import ShortTimeFFT

from qcodec.figures.style import DPI, SMALL, TEXT, WIDTH, styled
from qcodec.runs.read import FloatArray

_WINDOW, _HOP = 512, 128  # samples
_RANGE_DB = 80.0  # shown below the loudest bin


def draw_spectrogram(axes: Axes, audio: FloatArray, sample_rate: int, loudest: float | None = None) -> AxesImage:
    """Draw the power in dB of a short-time Fourier transform with a Hann window, over seconds and kHz.

    Args:
        axes: Where to draw.
        audio: ``(L,)`` samples; fewer than a window of 512 are filled with zeros.
        sample_rate: In Hz.
        loudest: Upper end of the scale of 80 dB; that of the clip's loudest bin if left out.
    """
    transform = ShortTimeFFT.from_window("hann", sample_rate, _WINDOW, _WINDOW - _HOP)
    power = transform.spectrogram(np.pad(audio, (0, max(0, _WINDOW - len(audio)))))
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    top = float(decibels.max()) if loudest is None else loudest
    extent = (0.0, len(audio) / sample_rate, 0.0, sample_rate / 2000)
    return axes.imshow(
        decibels, cmap="magma", origin="lower", aspect="auto", extent=extent, vmin=top - _RANGE_DB, vmax=top
    )


@styled
def spectrogram_figure(clips: Mapping[str, FloatArray], sample_rate: int) -> Figure:
    """Draw the spectrograms of clips ``(L,)`` by name on one scale of loudness, that of the first one.

    Args:
        clips: Samples by the name that stands above them.
        sample_rate: Sampling rate in Hz.

    Raises:
        ValueError: Without clips.
    """
    if not clips:
        raise ValueError("there is no clip to draw: give one or more")
    figure = Figure(figsize=(WIDTH, 1.5 * len(clips) + 0.4), dpi=DPI / 2, layout="constrained")
    panels = figure.subplots(len(clips), 1, sharex=True, squeeze=False)[:, 0]
    loudest = None
    for axes, (name, audio) in zip(panels, clips.items(), strict=True):
        shown = draw_spectrogram(axes, audio, sample_rate, loudest)
        loudest = shown.get_clim()[1]
        axes.set_title(name, fontsize=TEXT, loc="left")
        axes.set_ylabel("kHz", fontsize=SMALL)
    panels[-1].set_xlabel("seconds", fontsize=SMALL)
    bar = figure.colorbar(shown, ax=list(panels), aspect=12 * len(clips), pad=0.01)
    bar.set_label("dB", fontsize=SMALL)
    return figure
