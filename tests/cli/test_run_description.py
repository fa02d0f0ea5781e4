import re
import subprocess
from dataclasses import replace

import pytest

import qcodec
from qcodec.cli import main
from qcodec.cli.made_by import made_by
from qcodec.runs.read import read_run
from qcodec.runs.schema import RunDescription, read_description

FAST = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1"]
STRANGER = """
import torch
from lightning import LightningDataModule, LightningModule

class Task(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def training_step(self, batch, batch_idx):
        loss = (batch * self.weight).square().mean()
        self.log("snr", -loss, on_step=False, on_epoch=True)
        return loss

class Data(LightningDataModule):
    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(4, 1), batch_size=2)
"""
DESCRIBED = """
    def describe(self, data):
        from qcodec.runs.schema import Metric, RunDescription
        return RunDescription("mine", (Metric("snr", "Signal to noise ratio", "SNR", "dB", "higher"),), ("snr",))
"""


def surrogate_fit(*words):
    sizes = [
        f"--data.init_args.{name}" for name in ("source.init_args.frames=50", "updates_per_epoch=4", "held_out_draws=1")
    ]
    return main(["fit", "--config", "surrogate/sq_mste", *FAST, *sizes, "--run_dir=run", *words])


def test_a_fit_leaves_what_its_run_is(tmp_path):
    assert surrogate_fit() == 0
    stated = read_description(tmp_path / "run")
    assert (stated.kind, stated.rank) == ("surrogate", ("hard_mse", "mse"))
    assert stated.bound.bits[-1] == pytest.approx(57.04, abs=0.01)
    assert stated.made_by["command"].startswith("qcodec fit --config surrogate/sq_mste ")
    assert {"begun", "versions", "machine"} < set(stated.made_by)
    assert re.fullmatch(r"[\d.,]+ s for 4 updates, [\d.e+]+ ms an update, validation included", stated.made_by["time"])
    assert re.fullmatch(r"[\d,]+ MB of (the GPU, [\d,]+ MB of )?the process", stated.made_by["peak memory"])
    assert stated.references["known rotation"] == pytest.approx(0.1044, abs=0.002)


def test_the_commit_of_a_checkout_is_told_and_of_an_installation_nothing(tmp_path, monkeypatch):
    (tmp_path / "qcodec").mkdir()
    monkeypatch.setattr(qcodec, "__file__", str(tmp_path / "qcodec" / "__init__.py"))
    assert "commit" not in made_by([])
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    assert re.fullmatch(r"[0-9a-f]{12}", made_by([])["commit"])
    (tmp_path / "file").write_text("1")
    subprocess.run([*git, "add", "file"], check=True)
    assert made_by([])["commit"].endswith(", with changes")


def test_what_a_run_is_stands_in_its_folder_before_it_trains(tmp_path, capsys):
    assert surrogate_fit("--model.init_args.features=7") == 1
    assert "features" in capsys.readouterr().err
    assert read_description(tmp_path / "run").kind == "surrogate"
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(("more", "kind", "heading"), [("", "other", "snr"), (DESCRIBED, "mine", "SNR (dB)")])
def test_a_strangers_task_says_what_its_run_is_or_is_of_another_kind(tmp_path, more, kind, heading):
    module = f"stranger_{kind}"
    (tmp_path / f"{module}.py").write_text(STRANGER.replace("class Data", f"{more}\nclass Data"))
    (tmp_path / "recipe.yaml").write_text(
        f"model: {{class_path: {module}.Task}}\ndata: {{class_path: {module}.Data}}\n"
    )
    assert main(["fit", "--config", "recipe.yaml", *FAST, "--run_dir=run"]) == 0
    run = read_run(tmp_path / "run")
    assert run.description.kind == kind
    assert run.description.metric("snr").label == heading
    assert main(["report", "run"]) == 0
    assert (tmp_path / "run/figures/snr.png").is_file()
    assert (kind == "other") == (replace(run.description, made_by={}) == RunDescription("other"))


def test_settings_of_a_run_of_an_earlier_version_are_refused_in_one_line(tmp_path, capsys):
    run = tmp_path / "old"
    run.mkdir()
    (run / "metrics.csv").write_text("epoch,step,mse\n0,10,0.5\n")
    (run / "config.yaml").write_text("model: {class_path: qcodec.tasks.schedules.Gone}\n")
    assert main(["fit", "--config", "old/config.yaml", "--ckpt_path", "old/checkpoints/last.ckpt"]) == 1
    (line, *_) = capsys.readouterr().err.splitlines()
    assert "one of an earlier version of qcodec" in line
    assert line.endswith("run its recipe again")
