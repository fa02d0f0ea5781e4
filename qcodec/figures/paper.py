"""Figures 3 to 6 of arXiv 2502.04770: MSE and MA-E of a few systems over epochs."""

from collections.abc import Iterator

from qcodec.figures.data import fit_axis, over_epochs
from qcodec.figures.drawn import Drawn, curves_of, seeds_in_words, spread_in_words
from qcodec.figures.stacked import Panel, stacked
from qcodec.runs.read import Run

SYSTEMS = {
    "figure3": ("none", "sq_ste_cl", "sq_ste_cl_120"),
    "figure4": ("na", "na_cl", "sq_ste", "sq_ste_cl"),
    "figure5": ("na", "na_cl", "na_det", "na_det_cl"),
    "figure6": ("sq_ste", "sq_ste_cl", "sq_mste", "sq_mste_cl"),
}
_METRICS = ("mse", "ma_e")


def draw(run: Run) -> Iterator[Drawn]:
    """Draw those of the figures of which a run has two systems or more."""
    every = {metric: curves_of(run, metric) for metric in _METRICS}
    for name, systems in SYSTEMS.items():
        shown = {
            metric: {each: every[metric][each] for each in systems if each in every[metric]} for metric in _METRICS
        }
        if len(shown["mse"]) < 2:
            continue
        panels = []
        for metric, found in shown.items():
            curves, xlabel = over_epochs(found, run.updates_per_epoch)
            described = run.description.metric(metric)
            lines = run.description.references if described.distortion else {}
            panels += [Panel(described.label, curves, fit_axis(curves, lines), lines)] if curves else []
        title = f"Systems of Figure {name[-1]} in arXiv 2502.04770"
        note = spread_in_words(shown["mse"])
        yield Drawn(
            name, f"{title}{seeds_in_words(shown['mse'])}.", stacked(panels, title=title, note=note, xlabel=xlabel)
        )
