"""TensorBoard gets what W&B gets, by one fragment."""

import pytest
from audio_runs import fit, make_task
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qcodec.callbacks.audio_samples import AudioSamples
from qcodec.callbacks.figures import ProbeFigures
from qcodec.callbacks.spectrograms import Spectrograms
from qcodec.callbacks.tensorboard import TensorBoard
from qcodec.cli import main


def events(folder):
    read = EventAccumulator(str(folder))
    read.Reload()
    return read


def test_the_fragment_logs_curves_and_settings_to_tensorboard(tmp_path):
    short = [
        "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--data.init_args.updates_per_epoch=3",
        "--data.init_args.source.init_args.frames=50", "--data.init_args.held_out_draws=1", "--trainer.max_epochs=2",
    ]  # fmt: skip
    overlay = ["--config", "conf/overlay/tensorboard.yaml"]
    assert main(["fit", "--config", "surrogate/quickstart", *overlay, "--run_dir", "run", *short]) == 0
    read = events(tmp_path / "run" / "tensorboard")
    assert [event.step for event in read.Scalars("hard_mse/sq_mste")] == [3, 6]
    assert len(read.Scalars("by_seed/mse/sq_ste/0")) == 2
    assert (tmp_path / "run" / "tensorboard" / "hparams.yaml").read_text().count("class_path") > 5
    assert not (tmp_path / "run" / "wandb").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own audio summary
def test_sound_and_pictures_are_logged(tmp_path):
    callbacks = [AudioSamples(clips=2), ProbeFigures([Spectrograms()], clips=1)]
    fit(make_task(), updates=5, logger=TensorBoard(str(tmp_path)), callbacks=callbacks, default_root_dir=tmp_path)
    tags = events(tmp_path / "tensorboard").Tags()
    kinds = ("original", "decoded", *(f"decoded_level_{level}" for level in (1, 2, 3)))
    assert set(tags["audio"]) == {f"{kind}/{number}" for kind in kinds for number in (0, 1)}
    assert tags["images"] == ["spectrogram_1"]
