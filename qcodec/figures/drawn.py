"""A figure with the words below it, and what figures take from a run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures.data import Curve
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
    for system, series in run.metrics.get(metric, {}).items():
        curve = Curve(series.steps, series.values, run.diverged(system))
        if curve.diverged or not np.isnan(series.values).all():
            curves[system] = curve
    return curves


def seeds_in_words(curves: Mapping[str, Curve]) -> str:
    """Return how the seeds of curves are drawn, for a caption."""
    most = max(len(curve.values) for curve in curves.values())
    text = f"; lines: median over seeds, bands: least to greatest of up to {most} seeds" if most > 1 else "; one seed"
    if any(curve.diverged for curve in curves.values()):
        text += "; a seed that has diverged counts as infinite once it is no number, arrow heads leave the axis"
    return text
