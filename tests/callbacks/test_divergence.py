import csv
import logging
import math

import pytest
import torch
from audio_runs import Noise, fit, make_task
from lightning.pytorch.callbacks import ModelCheckpoint

from qcodec.callbacks.divergence import DivergenceGuard
from qcodec.callbacks.metrics_csv import MetricsCSV


def guarded(folder, task=None, updates=20, ma_e=1000.0, data=None, checkpoint=None, keep=None):
    """Run with a checkpoint after every epoch of 5 updates, and a look at the device after every 4."""
    keep = keep or ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    return fit(
        make_task() if task is None else task, updates=updates, data=data, checkpoint=checkpoint,
        callbacks=[DivergenceGuard(ma_e), keep], logger=MetricsCSV(folder), enable_checkpointing=True,
    )  # fmt: skip


def diverged_at(folder):
    table = csv.DictReader((folder / "metrics.csv").read_text(encoding="utf-8").splitlines())
    return [float(row["diverged_at"]) for row in table if row.get("diverged_at")]


def test_a_run_whose_loss_is_not_finite_ends_with_its_last_good_checkpoint_kept(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        trainer = guarded(tmp_path, data=Noise(spoil=(8,)))
    assert trainer.global_step == 10  # update 9 diverged, the epoch's end noticed
    assert diverged_at(tmp_path) == [9]
    assert torch.load(tmp_path / "last-good.ckpt", weights_only=True)["global_step"] == 5
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 10
    assert f"diverged at update 9: loss not finite or MA-E above 1000; the last checkpoint of before is {tmp_path}" in (
        caplog.text
    )


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_the_newest_whole_checkpoint_is_set_apart_whatever_a_callback_holds_best(tmp_path, caplog):
    """One that is best by another measure is older, and one that is newer was cut off."""
    keep = ModelCheckpoint(tmp_path, filename="{step}", monitor="step", mode="min", save_top_k=-1)
    (tmp_path / "cut.ckpt").write_bytes(b"PK\x03\x04 and no more")
    with caplog.at_level(logging.WARNING):
        guarded(tmp_path, data=Noise(spoil=(12,)), keep=keep)
    assert keep.best_model_path.endswith("step=5.ckpt")
    assert {p.name for p in tmp_path.glob("*.ckpt")} == {"cut.ckpt", "step=5.ckpt", "step=10-good.ckpt", "step=15.ckpt"}
    assert f"the last checkpoint of before is {tmp_path / 'step=10-good.ckpt'}" in caplog.text


def test_a_run_whose_embedding_grows_beyond_the_limit_ends(tmp_path, caplog):
    task = make_task()
    with caplog.at_level(logging.WARNING):
        trainer = guarded(tmp_path, task, ma_e=1e-9)
    assert trainer.global_step == 4
    assert diverged_at(tmp_path) == [1]
    assert "there is no checkpoint of before" in caplog.text


def test_a_run_that_does_not_diverge_is_left_alone(tmp_path):
    trainer = guarded(tmp_path)
    assert trainer.global_step == 20
    assert diverged_at(tmp_path) == []


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_run_that_diverged_is_not_resumed_by_mistake(tmp_path, caplog):
    guarded(tmp_path, ma_e=1e-9)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        again = guarded(tmp_path, checkpoint=tmp_path / "last.ckpt")
    assert again.global_step == 4
    assert "diverged at update 1" in caplog.text


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_that_ends_every_run_is_refused(limit):
    with pytest.raises(ValueError, match="would end every run"):
        DivergenceGuard(limit)
