"""A figure with the words below it, and what figures take from a run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures.data import Curve, MeanCurve
from qcodec.runs.read import Run


@dataclass(frozen=True)
class Drawn:
    """A figure with the words below it; ``name`` is that of its file."""

    name: str
    caption: str
    figure: Figure


def curves_of(run: Run, metric: str) -> dict[str, Curve]:
    """Return the curves of those systems that logged a number of the metric, or diverged before they did."""
    curves = {}
    kind = MeanCurve if run.description.spread == "standard error" else Curve
    for system, series in run.metrics.get(metric, {}).items():
        curve = kind(series.steps, series.values, run.diverged(system))
        if curve.diverged or not np.isnan(series.values).all():
            curves[system] = curve
    return curves


def spread_in_words(curves: Mapping[str, Curve]) -> str:
    """Return what lines and bands of curves are, as it stands in the figure."""
    return max(curves.values(), key=lambda curve: len(curve.values)).spread


def seeds_in_words(curves: Mapping[str, Curve]) -> str:
    """Return how the seeds of curves are drawn, for a caption."""
    text = f"; {spread_in_words(curves)}"
    if any(curve.diverged for curve in curves.values()):
        text += "; a seed that has diverged counts as infinite once it is no number, arrow heads leave the axis"
    return text
