import matplotlib
import numpy as np
import pytest

from qcodec.figures.rate_mel import rate_mel
from qcodec.figures.style import SLOTS, slots, spread


def test_a_system_keeps_its_colour_whoever_is_drawn_beside_it() -> None:
    for system, (colour, _) in SLOTS.items():
        assert slots(["other", system])[system][0] == colour
    assert len({colour for colour, _ in SLOTS.values()}) == len(SLOTS)


def test_a_run_named_by_its_estimator_has_the_colour_of_the_surrogates_system() -> None:
    systems = ["small_ste", "16khz_mste_cl", "other", "44khz_mste_cl"]
    chosen = slots(systems)
    assert chosen["small_ste"] == slots(["sq_ste"])["sq_ste"]
    assert chosen["16khz_mste_cl"] == slots(["sq_mste_cl"])["sq_mste_cl"]
    assert len({look[0] for look in chosen.values()}) == len(systems)


@pytest.mark.parametrize("count", [11, 25, 100])
def test_more_systems_than_colours_still_look_different(count: int) -> None:
    systems = ["sq_mste", *(f"other {index}" for index in range(count - 1))]
    looks = slots(systems)
    assert list(looks) == systems
    assert len(set(looks.values())) == count
    assert looks["sq_mste"] == slots(["sq_mste"])["sq_mste"]


def test_any_number_of_systems_has_looks() -> None:
    assert len(slots([str(index) for index in range(1000)])) == 1000


def test_labels_never_overlap_and_keep_their_order() -> None:
    wanted, sizes = np.array([0.9, 0.5, 0.51, 0.52, 0.1]), np.full(5, 0.15)
    placed = spread(wanted, sizes, 0.0, 1.0)
    assert (np.argsort(placed) == np.argsort(wanted)).all()
    assert np.diff(np.sort(placed)).min() >= 0.15 - 1e-9


@pytest.mark.parametrize("labels", [1, 2, 7, 30])
def test_labels_move_as_little_as_the_least_squares_allow(labels: int) -> None:
    draws = np.random.default_rng(labels)
    wanted, sizes = draws.uniform(0, 1, labels), draws.uniform(0.01, 0.05, labels)
    order = np.argsort(wanted)
    offset = np.cumsum(sizes[order]) - sizes[order] / 2
    gaps = wanted[order] - offset
    # the minimax form of the rising least-squares fit (Barlow and others, 1972, equation 1.9)
    fitted = [
        max(min(gaps[low : high + 1].mean() for high in range(at, labels)) for low in range(at + 1))
        for at in range(labels)
    ]
    placed = spread(wanted, sizes, -10.0, 10.0)
    np.testing.assert_allclose(placed[order], np.array(fitted) + offset, atol=1e-12)


def test_a_figure_leaves_the_style_of_others_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    figure = rate_mel({"a": (np.ones(1), np.ones(1))}, title="T")
    assert figure.dpi == 200
    assert dict(matplotlib.rcParams) == before
