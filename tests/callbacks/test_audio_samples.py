import numpy as np
import pytest
import torch
from audio_runs import batch, fit, make_task
from lightning.pytorch.loggers import Logger

from qcodec.callbacks.audio_samples import AudioSamples
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.callbacks.wandb import Wandb
from qcodec.figures.spectrogram import log_spectrogram, spectrogram_figure


class Listener(Logger):
    """Keeps what it is given."""

    name, version = "listener", ""

    def __init__(self):
        super().__init__()
        self.audio, self.images = [], []

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step=None):
        pass

    def log_audio(self, key, audios, step=None, sample_rate=None):
        self.audio.append((key, step, audios, sample_rate))

    def log_image(self, key, images, step=None):
        self.images.append((key, step, images))


def test_the_same_clips_are_logged_at_each_validation_and_the_originals_once():
    listener, task = Listener(), make_task()
    fit(task, updates=10, logger=listener, callbacks=[AudioSamples(clips=2)])
    assert [(key, step) for key, step, _, _ in listener.audio] == [("original", 5), ("decoded", 5), ("decoded", 10)]
    assert all(rates == [16000, 16000] for *_, rates in listener.audio)
    original, before, after = (np.stack(clips) for _, _, clips, _ in listener.audio)
    np.testing.assert_array_equal(original, batch(1000)[:2, 0].numpy())
    assert before.shape == after.shape == (2, 1100)
    assert not np.array_equal(before, after)
    with torch.no_grad():
        np.testing.assert_allclose(after, task.eval().codec(batch(1000)[:2]).audio[:, 0].numpy(), atol=1e-6)
    assert [(key, step, len(images)) for key, step, images in listener.images] == [
        ("spectrograms", 5, 2),
        ("spectrograms", 10, 2),
    ]


def test_nothing_is_computed_for_loggers_that_take_no_audio(tmp_path):
    task, samples = make_task(), AudioSamples()
    fit(task, updates=5, logger=MetricsCSV(tmp_path), callbacks=[samples])
    assert samples._probe is None


def test_the_projects_own_logger_keeps_sound_and_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    fit(make_task(), updates=5, logger=Wandb(str(tmp_path)), callbacks=[AudioSamples(clips=1)])
    media = {path.suffix for path in (tmp_path / "wandb").glob("offline-run-*/files/media/*/*")}
    assert media == {".wav", ".png"}


def test_a_spectrogram_shows_a_tone_at_its_frequency():
    time = np.arange(8000) / 16000
    image = log_spectrogram(np.sin(2 * np.pi * 1000 * time))
    assert (image.argmax(axis=0) == 1000 // (16000 // 512)).all()


def test_a_figure_has_a_panel_for_each_clip_on_one_scale():
    figure = spectrogram_figure({"original": np.ones(4000), "decoded": np.zeros(100)}, sample_rate=16000)
    images = [axes.images[0] for axes in figure.axes[:2]]
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["original", "decoded"]
    assert images[0].get_clim() == images[1].get_clim()
    assert images[0].get_extent()[1] == pytest.approx(0.25)


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="clips=0 shows nothing"):
        AudioSamples(clips=0)
    with pytest.raises(ValueError, match="there is no clip to draw"):
        spectrogram_figure({}, sample_rate=16000)
