"""Two ranks train as one process would that sees the data of both."""

import csv
import os
import subprocess
import sys

import torch

from qcodec import ModifiedSTE, ScalarQuantizer
from qcodec.data.synthetic import DrawBlock, SyntheticSource
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System


def test_two_ranks_average_their_gradients_and_log_once(tmp_path):
    command = [sys.executable, "-m", "qcodec", "fit", "--config", "surrogate/sq_mste", "--run_dir", "run"]
    command += ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu", "--trainer.max_epochs=2"]
    command += ["--data.init_args.frames=50", "--data.init_args.updates_per_epoch=4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "run/metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["step"] for row in rows] == ["4", "8"]

    task = SurrogateTask({"sq_mste": System(ScalarQuantizer(estimator=ModifiedSTE()))})
    adam, stats, errors = task.configure_optimizers(), torch.empty(2, 1, 1), []
    for update in range(8):
        adam.zero_grad()
        for rank in range(2):
            task._backward(DrawBlock(SyntheticSource(frames=50, rank=rank), 0, 1), update, stats)
            errors.append(stats[0].item())
        for parameter in task.parameters():
            parameter.grad /= 2
        adam.step()
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, parameter in task.named_parameters():
        torch.testing.assert_close(state[name], parameter.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(float(rows[1]["mse/sq_mste"]), sum(errors[8:]) / 8, rtol=1e-5, atol=0)
