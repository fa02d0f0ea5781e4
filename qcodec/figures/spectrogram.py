"""Spectrograms of clips, one above the other."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures.style import DPI, SMALL, TEXT, WIDTH, styled
from qcodec.runs.read import FloatArray

_FLOOR_DB = -80.0  # below the loudest bin of the first clip


def log_spectrogram(audio: FloatArray, window: int = 512) -> FloatArray:
    """Give the power in dB of the short-time Fourier transform with a Hann window: ``(window / 2 + 1, frames)``.

    Args:
        audio: ``(L,)`` samples; shorter ones than a window are filled with zeros.
        window: Window length in samples; the hop is a quarter of it.

    Example:
        >>> log_spectrogram(np.ones(1024)).shape
        (257, 5)
    """
    padded = np.pad(audio, (0, max(0, window - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)))
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)).T, dtype=np.float64)


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
    images = {name: log_spectrogram(audio) for name, audio in clips.items()}
    top = float(next(iter(images.values())).max())
    figure = Figure(figsize=(WIDTH, 1.5 * len(images) + 0.4), dpi=DPI / 2, layout="constrained")
    panels = figure.subplots(len(images), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, image), audio in zip(panels, images.items(), clips.values(), strict=True):
        extent = (0.0, len(audio) / sample_rate, 0.0, sample_rate / 2000)
        shown = axes.imshow(
            image, cmap="magma", origin="lower", aspect="auto", extent=extent, vmin=top + _FLOOR_DB, vmax=top
        )
        axes.set_title(name, fontsize=TEXT, loc="left")
        axes.set_ylabel("kHz", fontsize=SMALL)
    panels[-1].set_xlabel("seconds", fontsize=SMALL)
    bar = figure.colorbar(shown, ax=list(panels), aspect=12 * len(images), pad=0.01)
    bar.set_label("dB", fontsize=SMALL)
    return figure
