"""The settings of a run: kept null for null, and what they are changed to when it is resumed."""

import csv
import re

import pytest
import torch
import yaml
from audio_files import write_noise

from qcodec.cli import main
from qcodec.runs.settings_history import resumed_settings

SMALL = {"encoder_dim": 2, "decoder_dim": 32, "quantizer.init_args.dim": 32}
CROPS = {"updates_per_epoch": 1, "val_crops": 1, "duration": 0.1, "val_duration": 0.2}
QUIET = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
TINY = [*QUIET, "--trainer.max_steps=1", "--trainer.callbacks=null", "--data.init_args.root=audio"]
TINY += ["--data.init_args.subsets.held_out=0.5"]
TINY += [f"--data.init_args.crops.{name}={value}" for name, value in CROPS.items()]
TINY += [f"--model.init_args.codec.init_args.{name}={value}" for name, value in SMALL.items()]
FAST = [*QUIET, "--data.init_args.source.init_args.frames=50"]
FAST += ["--data.init_args.updates_per_epoch=2", "--data.init_args.held_out_draws=1"]


def settings(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_settings_that_are_null_stay_null(tmp_path):
    """Where they were dropped, the loudness of the default came back with the resumed run."""
    for name in "abcd":
        write_noise(tmp_path / f"audio/{name}.wav")
    (tmp_path / "own.yaml").write_text("data: {init_args: {transform: {lufs: null}}}")
    assert main(["fit", "--config=dac/small_mste", "--config=own.yaml", "--run_dir=R", *TINY]) == 0
    assert settings(tmp_path / "R")["data"]["init_args"]["transform"]["lufs"] is None
    assert main(["fit", "--config=R/config.yaml", "--run_dir=S"]) == 0
    first, second = settings(tmp_path / "R"), settings(tmp_path / "S")
    assert second["data"] == first["data"]
    assert second["model"] == first["model"]
    assert main(["fit", "--config=R/config.yaml", "--ckpt_path=R/checkpoints/last.ckpt"]) == 0
    assert settings(tmp_path / "R")["data"] == first["data"]


def test_a_resumed_run_goes_on_with_its_latest_settings_and_keeps_what_they_were(tmp_path, caplog, capsys):
    fit = ["fit", "--config=R/config.yaml", "--ckpt_path=R/checkpoints/last.ckpt"]
    assert main(["fit", "--config=surrogate/sq_mste", "--run_dir=R", "--trainer.max_epochs=1", *FAST]) == 0
    assert "resumed" not in caplog.text
    assert main([*fit, "--trainer.max_epochs=3", "--data.init_args.held_out_draws=2"]) == 0
    assert any("is resumed with trainer.max_epochs 3 instead of 1" in message for message in caplog.messages)
    text = (tmp_path / "R/config.yaml").read_text()
    comment = "# Resumed at update 2: trainer.max_epochs 3 instead of 1; data.init_args.held_out_draws 2 instead of 1\n"
    assert text.startswith(comment)
    assert settings(tmp_path / "R")["trainer"]["max_epochs"] == 3
    capsys.readouterr()
    caplog.clear()
    assert main(fit) == 0  # by its latest settings it has ended
    assert re.search(r"R: ended at update 6 already, by --trainer.max_epochs 3", capsys.readouterr().out)
    assert "resumed" not in caplog.text
    assert (tmp_path / "R/config.yaml").read_text().startswith(comment)


def test_a_run_that_goes_on_in_another_folder_says_what_it_changed(tmp_path):
    assert main(["fit", "--config=surrogate/sq_mste", "--run_dir=R", "--trainer.max_epochs=1", *FAST]) == 0
    before = (tmp_path / "R/config.yaml").read_bytes()
    resumed = ["--config=R/config.yaml", "--ckpt_path=R/checkpoints/last.ckpt", "--run_dir=S", "--trainer.max_epochs=2"]
    assert main(["fit", *resumed]) == 0
    assert (tmp_path / "R/config.yaml").read_bytes() == before
    text = (tmp_path / "S/config.yaml").read_text()
    assert text.startswith("# Resumed at update 2: trainer.max_epochs 2 instead of 1\n")


@pytest.mark.parametrize(
    ("former", "new", "said"),
    [
        ("a: {b: 1}", "a: {b: 1, c: null}", []),  # null and nothing are one
        ("a: {b: 1}", "a: {c: 2}", ["a.b null instead of 1", "a.c 2 instead of null"]),
        ("a: [{b: 1}, {b: 2}]", "a: [{b: 1}, {b: 3}]", ["a.1.b 3 instead of 2"]),
        ("run_dir: x\ntrainer: {default_root_dir: x}", "run_dir: y\ntrainer: {default_root_dir: y}", []),
        ("a: [1, 2", "a: 1", ["a 1 instead of null"]),  # a damaged file says nothing
        ("# Resumed at update 3: a 1 instead of 2\na: 1", "a: 1", []),
    ],
)
def test_differences_are_said_by_name(former, new, said):
    text, found = resumed_settings(former, new, 7)
    assert found == said
    history = [line for line in former.splitlines() if line.startswith("#")]
    assert text.splitlines() == [*history, *([f"# Resumed at update 7: {'; '.join(said)}"] if said else []), new] or (
        "\n" in new
    )


def test_audio_is_predicted_and_each_checkpoint_measured(tmp_path):
    for name in "abcd":
        write_noise(tmp_path / f"audio/{name}.wav")
    assert main(["fit", "--config=dac/small_mste", "--run_dir=R", *TINY]) == 0
    for command in ("predict", "test", "test"):
        assert main([command, "--config=R/config.yaml", "--ckpt_path=R/checkpoints/last.ckpt"]) == 0
    predicted = torch.load("R/predictions/0-00000.pt", weights_only=True)
    assert predicted["audio"].shape == (1, 1, 3200)
    assert predicted["codes"].shape[:2] == (1, 4)
    with open("R/test.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "1"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("precision=bf16-true", "trainer.precision bf16-true would hold the weights in that type"),
        ("precision=64-true", "bf16-mixed computes in it and keeps them in float32"),
        ("accumulate_grad_batches=4", "set model.init_args.micro_batches to their number"),
        ("overfit_batches=1", "trainer.overfit_batches 1: crops and draws are new in every update"),
    ],
)
def test_what_the_trainer_takes_and_a_task_does_not_is_one_line_at_the_start(tmp_path, capsys, setting, message):
    assert main(["fit", "--config=surrogate/sq_mste", "--run_dir=R", f"--trainer.{setting}", *FAST]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "R/metrics.csv").exists()


def test_a_dry_run_promises_no_curves(capsys):
    assert main(["fit", "--config=surrogate/sq_mste", "--run_dir=R", "--trainer.fast_dev_run=true", *FAST]) == 0
    assert "draw its curves" not in capsys.readouterr().out
