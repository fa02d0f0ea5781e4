import numpy as np
import pytest
from figures_read import texts, width_in_pixels

from qcodec.figures.data import Curve, fit_axis
from qcodec.figures.over_training import over_training
from qcodec.runs.schema import Bound

REFERENCES = {"zero information": 0.88, "known rotation": 0.1}
BOUND = Bound((0.0, 30.0, 57.0), (0.88, 0.2, 0.0))
UPDATES = np.array([10.0, 20.0, 30.0])


def falling(last: float = 0.1, seeds: int = 2) -> Curve:
    return Curve(UPDATES, np.linspace(0.8, last, 3) * np.linspace(1, 1.1, seeds)[:, None])


@pytest.mark.parametrize("systems", [1, 10, 11, 60])
def test_any_number_of_systems_is_drawn_with_every_name(systems: int) -> None:
    curves = {f"system_{index}": falling(0.1 + index / 100) for index in range(systems)}
    figure = over_training(curves, "MSE", title="T", updates_per_epoch=10, references=REFERENCES, bound=BOUND)
    assert 1100 <= width_in_pixels(figure) <= 1700
    drawn = texts(figure)
    for name in curves:
        assert any(text.startswith(name) for text in drawn)


def test_a_diverged_curve_is_clipped_marked_and_labelled() -> None:
    lost = Curve(UPDATES, np.array([[0.5, 1e6, np.nan]]), np.array([17.0]))
    figure = over_training({"sq_ste": lost}, "MSE", title="T", references=REFERENCES)
    top = figure.axes[0].get_ylim()[1]
    heights = [np.asarray(line.get_ydata(), dtype=float) for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert [float(height[0]) for height in heights if len(height)] == [top]
    assert top < 10
    assert any("diverged at update 17" in text for text in texts(figure))


def test_a_share_of_diverged_seeds_is_told() -> None:
    curve = Curve(UPDATES, np.ones((3, 3)), np.array([np.nan, 2000.0, 1500.0]))
    assert curve.fate() == "2 of 3 diverged, from 1,500 on"


def test_references_and_the_bound_are_labelled() -> None:
    figure = over_training(
        {"na": falling()}, "MSE", title="T", updates_per_epoch=10, references=REFERENCES, bound=BOUND
    )
    assert "zero information  0.88" in texts(figure)
    assert len(figure.axes) == 2  # the right-hand axis of bits
    assert figure.axes[1].get_yticklabels()[0].get_text() == "0"
    assert figure.axes[0].get_xlabel() == "epoch (10 updates each)"


def test_one_value_is_drawn_as_a_point() -> None:
    figure = over_training({"na": Curve(np.array([5.0]), np.array([[0.3]]))}, "MSE", title="T")
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [len(np.atleast_1d(line.get_xdata())) for line in dots] == [1]


@pytest.mark.parametrize(
    ("values", "log"), [([1.0, 2.0, 19.0], False), ([1.0, 2.0, 21.0], True), ([-1.0, 2.0, 90.0], False)]
)
def test_an_axis_is_logarithmic_where_positive_values_span_a_factor_of_20(values: list[float], log: bool) -> None:
    assert fit_axis({"a": Curve(UPDATES, np.array([values]))}, {}).log is log


def test_a_diverged_system_does_not_squash_the_others() -> None:
    lost = Curve(UPDATES, np.array([[1.0, 1e9, 1e30]]), np.array([15.0]))
    assert fit_axis({"fine": falling(), "lost": lost}, {}).high < 1000


@pytest.mark.parametrize("values", [[np.nan] * 3, [np.inf] * 3, [0.0] * 3, [5.0] * 3, [-5.0] * 3])
def test_odd_values_give_a_figure_all_the_same(values: list[float]) -> None:
    assert width_in_pixels(over_training({"a": Curve(UPDATES, np.array([values]))}, "loss", title="T"))


def test_a_figure_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no system to draw in the figure 'T'"):
        over_training({}, "MSE", title="T")
