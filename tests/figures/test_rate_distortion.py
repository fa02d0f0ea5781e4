import numpy as np
import pytest
from figures_read import texts, width_in_pixels

from qcodec.figures.rate_distortion import Point, minimum_bits, rate_distortion
from qcodec.runs.schema import Bound

REFERENCES = {"zero information": 0.88, "known rotation": 0.1}
BOUND = Bound((0.0, 30.0, 57.0), (0.88, 0.2, 0.0))


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


def test_a_figure_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no system to draw in the figure 'T'"):
        rate_distortion({}, BOUND, title="T")
