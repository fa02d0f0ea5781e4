import numpy as np
import pytest
from figures_read import texts

from qcodec.figures.data import Curve
from qcodec.figures.mel_and_embedding import mel_and_embedding

UPDATES = np.array([50.0, 100.0, 150.0])


def test_a_stopped_run_ends_in_a_cross_and_leaves_the_axis_to_the_others() -> None:
    lost = Curve(UPDATES[:2], np.array([[7.0, 40.0]]), np.array([93.0]))
    mel = {"small_ste": lost, "small_mste": Curve(UPDATES, np.array([[6.0, 4.0, 3.0]]))}
    ma_e = {"small_ste": lost, "small_mste": Curve(UPDATES, np.array([[1.0, 1.1, 1.1]]))}
    figure = mel_and_embedding(mel, ma_e, title="T")
    above, below = figure.axes
    assert (above.get_ylabel(), above.get_yscale()) == ("mel loss", "linear")
    assert (below.get_ylabel(), below.get_yscale()) == ("MA-E", "log")
    assert above.get_ylim()[1] < 7 < 40 < below.get_ylim()[1]
    for axes in (above, below):
        crosses = [line for line in axes.lines if line.get_marker() == "X"]
        assert [np.asarray(line.get_xdata()).tolist() for line in crosses] == [[100.0]]
    assert texts(figure).count("diverged at update 93") == 2
    assert "update" in texts(figure)


def test_a_run_that_logged_no_embedding_has_one_panel() -> None:
    figure = mel_and_embedding({"a": Curve(UPDATES, np.array([[6.0, np.nan, 3.0]]))}, {}, title="T")
    assert [axes.get_ylabel() for axes in figure.axes] == ["mel loss"]


def test_runs_of_no_numbers_are_drawn_and_of_nothing_refused() -> None:
    lost = Curve(UPDATES, np.full((1, 3), np.nan), np.array([3.0]))
    assert mel_and_embedding({"a": lost}, {"a": lost}, title="T").axes
    with pytest.raises(ValueError, match="no curve to draw in the figure 'T'"):
        mel_and_embedding({}, {}, title="T")


@pytest.mark.parametrize("runs", [11, 25])
def test_any_number_of_runs_is_drawn_with_every_name(runs: int) -> None:
    curves = {f"run {index}": Curve(UPDATES, np.array([[6.0, 4.0, 3.0 + index / 10]])) for index in range(runs)}
    figure = mel_and_embedding(curves, curves, title="T")
    for name in curves:
        assert sum(text.startswith(f"{name}  ") for text in texts(figure)) == 2
