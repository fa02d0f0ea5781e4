import numpy as np
import pytest
import torch
from audio_runs import batch, fit, make_task
from lightning.pytorch.loggers import Logger

from qcodec.callbacks.audio_samples import AudioSamples
from qcodec.callbacks.figures import ProbeFigures
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.callbacks.spectrograms import Spectrograms
from qcodec.callbacks.wandb import Wandb


class Listener(Logger):
    """Keeps what it is given."""

    name, version = "listener", ""

    def __init__(self):
        super().__init__()
        self.audio = []

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step=None):
        pass

    def log_audio(self, key, audios, step=None, sample_rate=None):
        self.audio.append((key, step, audios, sample_rate))


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


def test_nothing_is_computed_for_loggers_that_take_no_audio(tmp_path):
    task = make_task()
    counted = []
    task.codec.register_forward_hook(lambda *_: counted.append(task.codec.training))
    fit(task, updates=5, logger=MetricsCSV(tmp_path), callbacks=[AudioSamples()])
    assert counted.count(False) == 2  # the two held-out batches


def test_as_many_clips_as_wanted_are_taken_from_several_batches():
    listener = Listener()
    fit(make_task(), updates=5, logger=listener, callbacks=[AudioSamples(clips=5)])
    original = next(clips for key, _, clips, _ in listener.audio if key == "original")
    expected = torch.cat([batch(1000), batch(1001)[:2]])[:, 0].numpy()
    np.testing.assert_array_equal(np.stack(original), expected)


def test_the_projects_own_logger_keeps_sound_and_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    callbacks = [AudioSamples(clips=1), ProbeFigures([Spectrograms()], clips=1)]
    fit(make_task(), updates=5, logger=Wandb(str(tmp_path)), callbacks=callbacks, default_root_dir=tmp_path)
    media = {path.suffix for path in (tmp_path / "wandb").glob("offline-run-*/files/media/*/*")}
    assert media == {".wav", ".png"}


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="clips=0 shows nothing"):
        AudioSamples(clips=0)
