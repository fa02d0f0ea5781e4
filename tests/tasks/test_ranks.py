"""Two ranks train as one process would that sees the data of both."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from audio_files import write_noise

from qcodec import ModifiedSTE, ScalarQuantizer
from qcodec.cli import main
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream
from qcodec.tasks.joint_update import JointUpdate
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System


def run_command(words):
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "qcodec", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text(encoding="utf-8").splitlines()))


def test_two_ranks_average_their_gradients_and_log_once(tmp_path):
    words = ["fit", "--config", "surrogate/sq_mste", "--run_dir", "run"]
    words += ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu", "--trainer.max_epochs=2"]
    words += ["--data.init_args.source.init_args.frames=50", "--data.init_args.updates_per_epoch=4"]
    run_command(words)
    logged = rows(tmp_path / "run")
    assert [row["step"] for row in logged] == ["4", "8"]

    task = SurrogateTask({"sq_mste": System(ScalarQuantizer(estimator=ModifiedSTE()))})
    adam, errors = task.configure_optimizers(), []
    streams = [SyntheticStream(RoundedGaussian(frames=50), rank=rank) for rank in (0, 1)]
    updates = [JointUpdate(stream, task.seeds, dict(task.systems.items())) for stream in streams]
    for update in range(8):
        adam.zero_grad()
        for joint_update in updates:
            joint_update.seek(update)
            errors.append(task._backward(joint_update)[0].item())
        for parameter in task.parameters():
            parameter.grad /= 2
        adam.step()
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, parameter in task.named_parameters():
        torch.testing.assert_close(state[name], parameter.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(float(logged[1]["mse/sq_mste"]), sum(errors[8:]) / 8, rtol=1e-5, atol=0)


def test_two_ranks_train_an_audio_codec_as_one_that_has_both_batches_also_when_resumed(tmp_path):
    """With codebook dropout, whose draws are by the clip; resumed after one update of a row of two."""
    for subset in ("train-clean-100", "test-other"):
        write_noise(tmp_path / subset / f"{subset}.wav", seconds=0.4)
    codec, few = "--model.init_args.codec.init_args", "--data.init_args.crops"
    words = ["fit", "--config", "dac/small_mste", f"--data.init_args.root={tmp_path}", "--data.init_args.workers=0"]
    words += [f"{codec}.encoder_dim=2", f"{codec}.decoder_dim=32", f"{codec}.quantizer.init_args.dim=32"]
    words += ["--trainer.accelerator=cpu"]
    words += [f"{few}.updates_per_epoch=3", f"{few}.val_crops=2", f"{few}.val_duration=0.3", f"{few}.duration=0.2"]
    words += ["--trainer.enable_progress_bar=false", "--model.init_args.metrics=[{class_path: audio_runs.Peak}]"]
    alone = ["--run_dir", "one", "--data.init_args.batch_size=2", "--trainer.log_every_n_steps=1"]
    assert main([*words, *alone, "--trainer.max_steps=4"]) == 0
    words += ["--run_dir", "two", "--data.init_args.batch_size=1", "--trainer.devices=2", "--trainer.strategy=ddp"]
    words += ["--trainer.log_every_n_steps=2"]
    run_command([*words, "--trainer.max_steps=3"])
    run_command([*words, "--trainer.max_steps=4", "--ckpt_path", "two/checkpoints/last.ckpt"])
    one, two = (torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("one", "two"))
    for name in (name for name in one["state_dict"] if name.startswith("codec.")):
        torch.testing.assert_close(two["state_dict"][name], one["state_dict"][name], rtol=1e-4, atol=1e-6)
    one, two = ({row["step"]: row for row in rows(tmp_path / run)} for run in ("one", "two"))
    assert sorted(two) == ["2", "3", "4"]
    for name in ("mel", "waveform", "commitment", "ma_e", "kbps", "peak"):
        assert float(two["2"][name]) == pytest.approx((float(one["1"][name]) + float(one["2"][name])) / 2, rel=1e-4)
    for step, names in (("3", ("val_mel", "val_ma_e", "val_peak")), ("4", ("mel", "kbps", "codebook_usage", "peak"))):
        for name in names:
            assert float(two[step][name]) == pytest.approx(float(one[step][name]), rel=1e-4), name
