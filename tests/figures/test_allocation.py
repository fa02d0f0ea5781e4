import numpy as np
import pytest

from qcodec.figures.allocation import AllocatedClip, allocation_figure
from qcodec.figures.rate_by_level import rate_figure


def clip(frames=20, names=("level 0.5", "level 1"), importance=True):
    rng = np.random.default_rng(0)
    bits = {name: 13.0 + 10 * rng.integers(0, 8, frames) for name in names}
    return AllocatedClip(
        rng.standard_normal(frames * 512), rng.random(frames) if importance else None, bits, 44100, 44100 / 512
    )


def stairs(axes):
    return [patch for patch in axes.patches if hasattr(patch, "get_data")]


def test_importance_lies_over_the_spectrogram_and_bits_below_it_on_one_axis_of_time():
    shown = clip()
    top, bottom, over = allocation_figure(shown, title="a clip").axes
    assert np.array_equal(stairs(over)[-1].get_data().values, shown.importance)
    assert [list(step.get_data().values) for step in stairs(bottom)] == [list(bits) for bits in shown.bits.values()]
    assert top.get_xlim() == bottom.get_xlim() == over.get_xlim() == (0, pytest.approx(20 * 512 / 44100))
    texts = [text.get_text() for text in bottom.texts]
    assert f"{shown.bits['level 0.5'].mean() * 44.1 / 512:.2f} kbps" in texts
    assert "level 1" in texts


def test_bits_that_no_importance_decides_are_drawn_alone():
    shown = clip(names=[f"level {number}" for number in range(6)], importance=False)
    top, bottom = allocation_figure(shown, title="a clip").axes
    assert not stairs(top)
    colours = [step.get_edgecolor() for step in stairs(bottom)]
    assert (len(colours), len(set(colours))) == (6, 4)


def test_rates_are_drawn_against_levels_with_their_limits():
    levels, rates = np.array([0.25, 1.0, 4.0]), np.array([2.0, 4.0, 7.0])
    (axes,) = rate_figure(levels, {"speech": rates, "silence": rates / 4}, limits=(1.1, 7.2), title="t").axes
    lines = {tuple(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 3}
    assert tuple(rates) in lines
    assert {"speech", "silence"} <= {text.get_text() for text in axes.texts}
    assert any("7.20" in text.get_text() for text in axes.texts)


def test_of_many_clips_the_mean_and_the_range_are_drawn():
    levels = np.array([0.25, 1.0, 4.0])
    rates = {str(index): np.array([1.0, 2.0, 3.0]) * index for index in range(1, 13)}
    (axes,) = rate_figure(levels, rates, limits=(1.0, 40.0), title="t").axes
    assert any(list(line.get_ydata()) == [6.5, 13.0, 19.5] for line in axes.lines)
    assert "mean of 12 clips" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: AllocatedClip(np.ones(9), np.ones(3), {"a": np.ones(4)}, 8, 1), r"agree, and are \[3, 4\]"),
        (lambda: AllocatedClip(np.ones(9), np.ones(3), {}, 8, 1), "agree"),
        (lambda: rate_figure(np.ones(1), {"a": np.ones(1)}, limits=(1, 2), title=""), "1 clips at 1 levels make no"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
