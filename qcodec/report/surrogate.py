"""The report on surrogate codecs: mean square error, rate and distortion."""

from collections.abc import Iterator

from qcodec.figures import final_values, over_training, rate_distortion
from qcodec.figures.drawn import Drawn, curves_of
from qcodec.runs.read import Run

_STRAIGHT_THROUGH = ("none", "sq_ste", "sq_ste_cl", "sq_ste_cl_120")
_ESTIMATORS = ("sq_ste_cl", "sq_mste", "sq_mste_cl", "na", "na_cl", "na_det", "na_det_cl")
_PAPER_FIGURES = {  # of arXiv 2502.04770
    "figure3": ("mse", _STRAIGHT_THROUGH),
    "figure4": ("ma_e", _STRAIGHT_THROUGH),
    "figure5": ("mse", _ESTIMATORS),
    "figure6": ("ma_e", _ESTIMATORS),
}


def paper_figures(run: Run) -> Iterator[Drawn]:
    """Draw those figures of arXiv 2502.04770 of which a run has two systems or more."""
    for name, (metric, members) in _PAPER_FIGURES.items():
        every = curves_of(run, metric)
        curves = {system: every[system] for system in members if system in every}
        if len(curves) > 1:
            where = f", systems of Figure {name[-1]} in arXiv 2502.04770"
            yield over_training.captioned(name, run, run.description.metric(metric), curves, where)


FIGURES = (over_training.draw, paper_figures, final_values.draw, rate_distortion.draw)
