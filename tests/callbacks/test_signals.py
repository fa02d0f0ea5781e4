"""A run that a signal ends, at whatever moment, resumes to the numbers of one that none has ended."""

import csv
import os
import signal

import pytest
import torch

from qcodec import AnnealedDither, ScalarQuantizer
from qcodec.callbacks.signals import SignalsBetweenUpdates, signals_given_back
from qcodec.cli import main

SENT: list[str] = []


class Killed(ScalarQuantizer):
    """Sends a signal to its own process the n-th time that it is called in training or in evaluation."""

    def __init__(self, number: int = 0, call: int = 0, training: bool = True) -> None:
        super().__init__()
        self.number, self.call, self.when = number, call, training
        self.calls = 0

    def forward(self, z, features=None, level=None):
        self.calls += self.training == self.when
        if self.number and self.calls == self.call and not SENT:
            SENT.append("sent")
            os.kill(os.getpid(), self.number)
        return super().forward(z, features=features, level=level)


class DitheredKilled(AnnealedDither):
    def __init__(self, number: int = 0, call: int = 0, training: bool = True) -> None:
        super().__init__(Killed(number, call, training), std=0.3, updates=20)


def recipe(folder, number=0, call=0, training=True):
    path = folder / f"recipe{number}.yaml"
    path.write_text(
        f"""
trainer: {{max_epochs: 3, num_sanity_val_steps: 0, accelerator: cpu, enable_progress_bar: false, logger: false}}
data:
  class_path: qcodec.data.synthetic.SyntheticBits
  init_args: {{source: {{class_path: qcodec.data.rounded_gaussian.RoundedGaussian, init_args: {{frames: 20}}}},
              updates_per_epoch: 6, updates_per_step: 2, held_out_draws: 3}}
model:
  class_path: qcodec.tasks.surrogate.SurrogateTask
  init_args:
    systems:
      killed:
        quantizer:
          class_path: {__name__}.DitheredKilled
          init_args: {{number: {number}, call: {call}, training: {str(training).lower()}}}
"""
    )
    return path


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def weights(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("call", "training"), [(1, True), (8, True), (9, True), (2, False), (5, False)])
def test_a_run_that_a_signal_ended_resumes_to_the_same_numbers(tmp_path, number, call, training):
    SENT[:] = ["no signal"]
    assert main(["fit", "--config", str(recipe(tmp_path)), "--run_dir=whole"]) == 0
    SENT.clear()
    killed = str(recipe(tmp_path, number, call, training))
    try:
        status = main(["fit", "--config", killed, "--run_dir=parts"])
    except SystemExit as end:
        status = end.code
    assert status == 128 + number
    assert SENT == ["sent"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    state = torch.load("parts/checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] % 2 == 0
    assert main(["fit", "--config", killed, "--ckpt_path=parts/checkpoints/last.ckpt"]) == 0
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "parts")[name]), name


def test_a_second_ctrl_c_ends_the_fit_at_once():
    class OneProcess:
        world_size = 1

    callback = SignalsBetweenUpdates()
    former = signal.getsignal(signal.SIGINT)
    with signals_given_back():
        callback.on_train_start(OneProcess(), None)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is former
