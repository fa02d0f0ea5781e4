"""The figure of audio codecs in training."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures.data import Axis, Curve, fit_axis
from qcodec.figures.drawn import Drawn, curves_of, seeds_in_words, spread_in_words
from qcodec.figures.stacked import Panel, stacked
from qcodec.runs.read import Run

_MOST_RUNS = 10  # more would hide one another


def draw(run: Run) -> Iterator[Drawn]:
    """Draw Figure 8 of arXiv 2502.04770 from what runs of audio codecs logged."""
    mel, ma_e = curves_of(run, "mel"), curves_of(run, "ma_e")
    if mel and max(len(mel), len(ma_e)) <= _MOST_RUNS:
        title = "Mel loss and mean absolute embedding in training"
        note = spread_in_words(mel) + "; each point is a mean over the updates since the one before"
        note += "; cross: diverged and stopped" if any(curve.diverged for curve in mel.values()) else ""
        figure = mel_and_embedding(mel, ma_e, title=title, note=note)
        yield Drawn("figure8", f"{title}, as Figure 8 of arXiv 2502.04770{seeds_in_words(mel)}.", figure)


def mel_and_embedding(mel: Mapping[str, Curve], ma_e: Mapping[str, Curve], *, title: str, note: str = "") -> Figure:
    """Draw mel loss above mean absolute embedding over updates, as Figure 8 of arXiv 2502.04770.

    The axis of the mel loss holds the runs that have not diverged; that of the embedding is logarithmic.

    Args:
        mel: Mel loss, one curve per run.
        ma_e: Mean absolute value of the encoder's output, curves of the same runs.
        title: Written above.
        note: Written below the title.

    Raises:
        ValueError: Where there is no curve of either.
    """
    both = ((mel, "mel loss", False), (ma_e, "MA-E", True))
    return stacked(
        [Panel(name, curves, _axis(curves, log)) for curves, name, log in both if curves], title=title, note=note
    )


def _axis(curves: Mapping[str, Curve], log: bool) -> Axis:
    """Choose an axis that holds all values if logarithmic, else those of the runs that have not diverged."""
    sane = {name: curve for name, curve in curves.items() if not curve.diverged}
    shown = curves if log else sane or curves
    values = np.concatenate([curve.values.ravel() for curve in shown.values()])
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        return fit_axis(shown, {})
    low, high = float(positive.min()), float(positive.max())
    return Axis(low / 1.3, high * 1.3, log=True) if log else Axis(0.9 * low, 1.05 * high, log=False)
