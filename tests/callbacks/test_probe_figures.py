"""Figures of a fixed probe batch, hooked into validation."""

import pytest
import torch
from audio_runs import batch, fit, make_codec, make_task
from lightning import LightningModule
from lightning.pytorch.loggers import Logger
from matplotlib.figure import Figure
from matplotlib.text import Text

from qcodec import DacCodec, ImportanceMask, ScalarQuantizer
from qcodec.callbacks.allocation import Allocation
from qcodec.callbacks.figures import ProbeFigure, ProbeFigures
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.callbacks.spectrograms import Spectrograms
from qcodec.losses.weights import LossWeights
from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.dither import AnnealedDither
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
        self.images.append((key, step, images))


class Blank(ProbeFigure):
    """A figure that the package does not know."""

    def __init__(self, name="blank"):
        self.name, self.seen = name, []

    def draw(self, codec, audio):
        self.seen.append(audio)
        assert not codec.training
        assert not torch.is_grad_enabled()
        return {self.name: Figure(figsize=(1, 1))}


class Every(RateAllocator):
    """Sends every stage, at one rate."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, z, stages, *, features=None, level=None):
        return self.of(z, stages, features=features)


def names(figures, codec):
    with torch.no_grad():
        return sorted(figures.draw(codec.eval(), batch(1000)[:2]))


def importance():
    return ImportanceMask(16, (5,), full_share=0.4)


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_each_validation_draws_the_same_clips_for_the_loggers_and_for_the_report(tmp_path):
    gallery, blank = Gallery(), Blank()
    figures = ProbeFigures([Allocation(levels=2), blank, Spectrograms()], clips=2)
    task = make_task(LOSSES, codec=make_codec(allocator=importance()))
    fit(task, updates=10, logger=[gallery, MetricsCSV(tmp_path)], callbacks=[figures], default_root_dir=tmp_path)
    drawn = ["allocation_1", "allocation_2", "rate_by_level", "blank", "spectrogram_1", "spectrogram_2"]
    assert [image[:2] for image in gallery.images] == [(name, step) for step in (5, 10) for name in drawn]
    assert all(f"after {step} updates" in texts(figure) for _, step, (figure,) in gallery.images)
    assert all(seen.equal(batch(1000)[:2]) for seen in blank.seen)
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {f"{name}.png" for name in drawn}
    write_description(tmp_path, RunDescription("audio"))
    page = write_report([tmp_path], tmp_path / "report").read_text(encoding="utf-8")
    assert f"rate by level of {tmp_path.name}, drawn at its last validation." in page
    assert (tmp_path / "report" / "figures" / f"{tmp_path.name}_rate_by_level.png").is_file()


def test_bits_are_drawn_of_every_quantizer_that_allocates_them_also_of_a_wrapped_one():
    every = ["allocation_1", "allocation_2", "rate_by_level"]
    for allocator in (importance(), None):
        assert names(Allocation(), make_codec(allocator=allocator)) == every
    codec = make_codec(allocator=importance())
    codec.quantizer = AnnealedDither(codec.quantizer, 0.3, 10)
    assert names(Allocation(), codec) == every


def test_one_rate_has_no_levels_and_a_quantizer_without_allocator_no_such_figures(tmp_path):
    dropout = make_codec().quantizer.allocator
    assert names(Allocation(), make_codec(allocator=Every(dropout))) == ["allocation_1", "allocation_2"]
    codec = DacCodec(ScalarQuantizer(), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    gallery = Gallery()
    fit(make_task(LossWeights(waveform=1.0, commitment=1.0), codec), updates=5, logger=gallery,
        callbacks=[ProbeFigures([Allocation()])], default_root_dir=tmp_path)  # fmt: skip
    assert not gallery.images
    assert not (tmp_path / "pictures").exists()


def test_figures_change_nothing_in_training(tmp_path):
    with_figures, without = make_task(), make_task()
    fit(with_figures, updates=8, callbacks=[ProbeFigures([Allocation(), Spectrograms()])], default_root_dir=tmp_path)
    fit(without, updates=8)
    assert all(map(torch.equal, with_figures.parameters(), without.parameters()))


@pytest.mark.parametrize(
    ("figures", "error", "message"),
    [
        (lambda: ProbeFigures([Blank()], clips=0), ValueError, "clips=0 with 1 figures show nothing"),
        (lambda: ProbeFigures([]), ValueError, "clips=2 with 0 figures show nothing"),
        (lambda: ProbeFigures([Blank]), TypeError, r"figures\[0\] is the class Blank: give an object, Blank\(\.\.\.\)"),
        (lambda: Allocation(levels=0), ValueError, "levels=0 show nothing"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(figures, error, message):
    with pytest.raises(error, match=message):
        figures()


def test_a_name_that_is_drawn_twice_and_another_task_are_told(tmp_path):
    with pytest.raises(ValueError, match="two figures are called 'blank': give each a name of its own"):
        fit(make_task(), updates=5, callbacks=[ProbeFigures([Blank(), Blank()])], default_root_dir=tmp_path)

    class Other(LightningModule):
        pass

    class Idle:
        sanity_checking, is_global_zero = False, True

    with pytest.raises(ValueError, match="Other has no AudioCodec as `codec`: leave ProbeFigures out"):
        ProbeFigures([Blank()]).on_validation_batch_end(Idle(), Other(), None, batch(0), 0)
