import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from qcodec.figures.curves import over_epochs
from qcodec.figures.data import Bound, Curve, fit_axis
from qcodec.figures.final_values import final_values
from qcodec.figures.rate_distortion import Point, minimum_bits, rate_distortion
from qcodec.figures.style import SLOTS, slots, spread

REFERENCES = {"zero information": 0.88, "no learning": 0.1}
BOUND = Bound(np.array([0.0, 30.0, 57.0]), np.array([0.88, 0.2, 0.0]))
UPDATES = np.array([10.0, 20.0, 30.0])


def falling(last: float = 0.1, seeds: int = 2) -> Curve:
    return Curve(UPDATES, np.linspace(0.8, last, 3) * np.linspace(1, 1.1, seeds)[:, None])


def texts(figure: Figure) -> list[str]:
    drawn = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text.get_text() for text in drawn if text.get_text()]


def width_in_pixels(figure: Figure) -> int:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return int.from_bytes(picture.getvalue()[16:20], "big")


@pytest.mark.parametrize("systems", [1, 10, 11, 60])
def test_any_number_of_systems_is_drawn_with_every_name(systems: int) -> None:
    curves = {f"system_{index}": falling(0.1 + index / 100) for index in range(systems)}
    figure = over_epochs(curves, "MSE", title="T", updates_per_epoch=10, references=REFERENCES, bound=BOUND)
    assert 1100 <= width_in_pixels(figure) <= 1700
    for name in curves:
        assert any(text.startswith(name) for text in texts(figure))


def test_a_system_keeps_its_colour_whoever_is_drawn_beside_it() -> None:
    for system, (colour, _) in SLOTS.items():
        assert slots(["other", system])[system][0] == colour
    assert len({colour for colour, _ in SLOTS.values()}) == len(SLOTS)


def test_a_diverged_curve_is_clipped_marked_and_labelled() -> None:
    lost = Curve(UPDATES, np.array([[0.5, 1e6, np.nan]]), np.array([17.0]))
    figure = over_epochs({"sq_ste": lost}, "MSE", title="T", references=REFERENCES)
    top = figure.axes[0].get_ylim()[1]
    heights = [np.asarray(line.get_ydata(), dtype=float) for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert [float(height[0]) for height in heights if len(height)] == [top]
    assert top < 10
    assert any("diverged at update 17" in text for text in texts(figure))


def test_a_share_of_diverged_seeds_is_told() -> None:
    curve = Curve(UPDATES, np.ones((3, 3)), np.array([np.nan, 2000.0, 1500.0]))
    assert curve.fate() == "2 of 3 diverged, from 1,500 on"


def test_references_and_the_bound_are_labelled() -> None:
    figure = over_epochs({"na": falling()}, "MSE", title="T", updates_per_epoch=10, references=REFERENCES, bound=BOUND)
    assert "zero information  0.88" in texts(figure)
    assert len(figure.axes) == 2  # the right-hand axis of bits
    assert figure.axes[1].get_yticklabels()[0].get_text() == "0"
    assert figure.axes[0].get_xlabel() == "epoch (10 updates each)"


def test_one_value_is_drawn_as_a_point() -> None:
    figure = over_epochs({"na": Curve(np.array([5.0]), np.array([[0.3]]))}, "MSE", title="T")
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
    assert width_in_pixels(over_epochs({"a": Curve(UPDATES, np.array([values]))}, "loss", title="T"))


def test_a_figure_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no system to draw in the figure 'T'"):
        over_epochs({}, "MSE", title="T")
    with pytest.raises(ValueError, match="no system to draw in the figure 'T'"):
        rate_distortion({}, BOUND, title="T")


def test_labels_never_overlap_and_keep_their_order() -> None:
    wanted, sizes = np.array([0.9, 0.5, 0.51, 0.52, 0.1]), np.full(5, 0.15)
    placed = spread(wanted, sizes, 0.0, 1.0)
    assert (np.argsort(placed) == np.argsort(wanted)).all()
    assert np.diff(np.sort(placed)).min() >= 0.15 - 1e-9


def test_the_smallest_budget_with_a_low_mse_is_marked() -> None:
    points = {
        f"na_{b}": Point(np.array([b - 3.0]), np.array([mse]), b) for b, mse in ((40, 0.1), (60, 0.009), (90, 0.001))
    }
    assert minimum_bits(points) == "na_60"
    figure = rate_distortion(points, BOUND, title="T", note="a note", references=REFERENCES)
    assert "minimum number of bits: 60" in texts(figure)
    assert "a note" in texts(figure)


def test_equal_budgets_have_no_minimum() -> None:
    points = {name: Point(np.array([50.0]), np.array([0.001]), 60.0) for name in "ab"}
    assert minimum_bits(points) is None


@pytest.mark.parametrize("systems", [1, 60])
def test_rate_and_distortion_of_any_number_of_systems_are_drawn(systems: int) -> None:
    points = {
        f"s{i}": Point(np.array([30.0 + i, 31.0 + i]), np.array([0.1 / (i + 1), np.nan]), 30.0 + i)
        for i in range(systems)
    }
    assert 1100 <= width_in_pixels(rate_distortion(points, BOUND, title="T")) <= 1700


def test_every_seed_of_every_system_has_a_dot_and_the_best_system_comes_first() -> None:
    last = {"worse": np.array([0.1, 0.2, np.nan]), "better": np.array([1e-9, 0.02, 0.03])}
    figure = final_values(last, "MSE", title="T", references=REFERENCES)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["better", "worse"]
    dots = [line for line in axes.lines if line.get_marker() in ("o", ">")]
    assert sum(len(np.asarray(line.get_xdata())) for line in dots) == 6
    beyond = [float(x) for line in dots if line.get_marker() == ">" for x in np.asarray(line.get_xdata())]
    assert beyond == [axes.get_xlim()[1]]
    with pytest.raises(ValueError, match="no system"):
        final_values({}, "MSE", title="T")
