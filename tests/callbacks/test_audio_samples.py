import numpy as np
import pytest
import soundfile
import torch
from audio_runs import batch, fit, make_task
from lightning.pytorch.loggers import Logger

from qcodec.callbacks.audio_samples import AudioSamples
from qcodec.callbacks.figures import ProbeFigures
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.callbacks.spectrograms import Spectrograms
from qcodec.callbacks.wandb import Wandb
from qcodec.report.write import write_report
from qcodec.runs.schema import RunDescription, write_description


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
    fit(task, updates=10, logger=listener, callbacks=[AudioSamples(clips=2)], default_root_dir=".")
    usual = [each for each in listener.audio if "level" not in each[0]]
    assert [(key, step) for key, step, _, _ in usual] == [("original", 5), ("decoded", 5), ("decoded", 10)]
    assert all(rates == [16000, 16000] for *_, rates in usual)
    original, before, after = (np.stack(clips) for _, _, clips, _ in usual)
    np.testing.assert_array_equal(original, batch(1000)[:2, 0].numpy())
    assert before.shape == after.shape == (2, 1100)
    assert not np.array_equal(before, after)
    with torch.no_grad():
        np.testing.assert_allclose(after, task.eval().codec(batch(1000)[:2]).audio[:, 0].numpy(), atol=1e-6)


def test_clips_lie_in_the_run_folder_at_each_rate_and_can_be_heard_in_its_report(tmp_path):
    fit(
        make_task(),
        updates=10,
        logger=MetricsCSV(tmp_path),
        callbacks=[AudioSamples(clips=2)],
        default_root_dir=tmp_path,
    )
    names = {path.name for path in (tmp_path / "sounds").iterdir()}
    kinds = ("original", "decoded", *(f"decoded_level_{level}" for level in (1, 2, 3)))
    assert names == {f"{kind}_{number}.flac" for kind in kinds for number in (1, 2)}
    audio, rate = soundfile.read(tmp_path / "sounds" / "original_2.flac")
    assert rate == 16000
    np.testing.assert_allclose(audio, batch(1000)[1, 0], atol=1e-4)
    write_description(tmp_path, RunDescription("audio"))
    page = write_report([tmp_path], tmp_path).read_text()
    assert page.count("<audio ") == len(names)
    assert "<h3>Clip 1 of" in page
    assert page.index("original<audio") < page.index("decoded<audio") < page.index("decoded level 1<audio")


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
