"""Figures 3 to 6 of arXiv 2502.04770 show the systems that the paper's show, in two panels each."""

import numpy as np
from figures_read import texts

from qcodec.figures import paper
from qcodec.runs.read import Run, Series
from qcodec.runs.schema import RunDescription
from qcodec.tasks.surrogate_description import METRICS

STEPS = np.array([2000.0, 4000.0, 6000.0])
TEN = ("none", "sq_ste", "sq_ste_cl", "sq_mste", "sq_mste_cl", "sq_ste_cl_120", "na", "na_cl", "na_det", "na_det_cl")


def run_of(systems: tuple[str, ...]) -> Run:
    series = {name: Series(STEPS, np.array([[0.5, 0.3, 0.2], [0.5, 0.4, 0.1]])) for name in systems}
    description = RunDescription("surrogate", METRICS, references={"known rotation": 0.1044})
    return Run("R", {"mse": series, "ma_e": series}, updates_per_epoch=2000, description=description)


def test_each_figure_shows_mse_above_ma_e_over_epochs_of_the_papers_systems() -> None:
    drawn = {each.name: each.figure for each in paper.draw(run_of(TEN))}
    assert list(drawn) == ["figure3", "figure4", "figure5", "figure6"]
    for name, figure in drawn.items():
        above, below = figure.axes
        assert ("MSE" in above.get_ylabel(), "MA-E" in below.get_ylabel()) == (True, True)
        assert below.get_xlabel() == "epoch (2,000 updates each)"
        named = {system for system in TEN for text in texts(figure) if text.startswith(f"{system}  ")}
        assert named == set(paper.SYSTEMS[name])
        assert sum(text.startswith("known rotation  ") for text in texts(figure)) == 1


def test_a_run_with_one_system_of_a_figure_has_none_of_it() -> None:
    assert [each.name for each in paper.draw(run_of(("none", "sq_ste", "sq_mste")))] == ["figure6"]
    assert not list(paper.draw(Run("R", {})))
