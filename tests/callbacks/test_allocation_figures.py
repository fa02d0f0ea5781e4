"""Figures of variable bitrate, drawn from data alone and hooked into validation."""

import numpy as np
import pytest
from audio_runs import batch, fit, make_codec, make_task
from lightning.pytorch.loggers import Logger

from qcodec import ImportanceMask
from qcodec.callbacks.allocation import AllocationFigures
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.figures.importance import AllocatedClip, allocation_figure, rate_figure
from qcodec.losses.weights import LossWeights
from qcodec.report.write import write_report
from qcodec.runs.schema import RunDescription, write_description

LOSSES = LossWeights(mel=15.0, codebook=1.0, commitment=0.25, rate=2.0)


class Gallery(Logger):
    """Keeps the images that it is given."""

    name, version = "gallery", ""

    def __init__(self):
        super().__init__()
        self.images = []

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step=None):
        pass

    def log_image(self, key, images, step=None):
        self.images.append((key, step, len(images)))


def clip(frames=20, levels=(0.5, 1.0)):
    rng = np.random.default_rng(0)
    bits = {level: 13.0 + 10 * rng.integers(0, 8, frames) for level in levels}
    return AllocatedClip(rng.standard_normal(frames * 512), rng.random(frames), bits, 44100, 44100 / 512)


def variable_task():
    return make_task(LOSSES, codec=make_codec(allocator=ImportanceMask(16, (5,), full_share=0.4)))


def stairs(axes):
    return [patch for patch in axes.patches if hasattr(patch, "get_data")]


def test_importance_lies_over_the_spectrogram_and_bits_below_it_on_one_axis_of_time():
    shown = clip()
    top, bottom, over = allocation_figure(shown, title="a clip").axes
    assert np.array_equal(stairs(over)[-1].get_data().values, shown.importance)
    assert [list(step.get_data().values) for step in stairs(bottom)] == [
        list(shown.bits[level]) for level in (0.5, 1.0)
    ]
    assert top.get_xlim() == bottom.get_xlim() == over.get_xlim() == (0, pytest.approx(20 * 512 / 44100))
    texts = [text.get_text() for text in bottom.texts]
    assert f"{shown.bits[0.5].mean() * 44.1 / 512:.2f} kbps" in texts


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
        (lambda: AllocatedClip(np.ones(9), np.ones(3), {1.0: np.ones(4)}, 8, 1), r"agree, and are \[3, 4\]"),
        (lambda: AllocatedClip(np.ones(9), np.ones(3), {}, 8, 1), "agree"),
        (lambda: rate_figure(np.ones(1), {"a": np.ones(1)}, limits=(1, 2), title=""), "1 clips at 1 levels make no"),
        (lambda: AllocationFigures(clips=0), "clips=0 at levels="),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_each_validation_draws_the_same_clips_for_the_loggers_and_for_the_report(tmp_path):
    gallery = Gallery()
    loggers, figures = [gallery, MetricsCSV(tmp_path)], AllocationFigures(clips=2, levels=[0.5, 1.0])
    fit(variable_task(), updates=10, logger=loggers, callbacks=[figures], default_root_dir=tmp_path)
    assert gallery.images == [("allocation", 5, 3), ("allocation", 10, 3)]
    assert figures._probe.equal(batch(1000)[:2])
    names = {"allocation_1.png", "allocation_2.png", "rate_by_level.png"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == names
    write_description(tmp_path, RunDescription("audio"))
    page = write_report([tmp_path], tmp_path / "report").read_text(encoding="utf-8")
    assert f"rate by level of {tmp_path.name}, drawn at its last validation." in page
    assert (tmp_path / "report" / "figures" / f"{tmp_path.name}_rate_by_level.png").is_file()


def test_a_codec_without_importance_has_no_such_figures(tmp_path):
    gallery = Gallery()
    fit(make_task(), updates=5, logger=gallery, callbacks=[AllocationFigures()], default_root_dir=tmp_path)
    assert not gallery.images
    assert not (tmp_path / "pictures").exists()
