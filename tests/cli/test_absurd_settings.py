"""Settings beyond any machine or any sense end in one line, and soon."""

import pytest
import torch
from audio_files import write_noise

from qcodec.cli import main
from qcodec.data.audio_settings import Crops
from qcodec.losses.weights import LossWeights

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with GPUs has a limit of its own")
FAST = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1"]


def error_of(capsys, *words):
    assert main(["fit", "--config=surrogate/sq_mste", "--run_dir=R", *FAST, *words]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line or "Traceback" in line]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.init_args.systems.sq_mste.quantizer.init_args.levels=4611686018427387904", "more than float32 tells"),
        ("model.init_args.seeds=1000000000", "are more than 100000 codecs: choose fewer"),
        ("data.init_args.source.init_args.frames=1000000000000", "not enough memory"),
        ("model.init_args.systems.sq_mste.losses.commitment=-1", "losses.commitment is -1.0: give a finite weight"),
        ("model.init_args.systems.sq_mste.losses.commitment=.nan", "losses.commitment is nan"),
        ("model.init_args.systems.sq_mste.losses.others={a: -2}", "losses.a is -2.0"),
        ("model.init_args.divergence_ma_e=-1", "divergence_ma_e is -1.0: give a limit above 0"),
        ("trainer.devices=-1", "should be an int > 0"),
        pytest.param("trainer.devices=2000", "2000 would start as many processes", marks=WITHOUT_GPU),
    ],
)
def test_a_setting_that_no_machine_or_task_can_use_is_named(capsys, setting, message):
    assert message in error_of(capsys, f"--{setting}")


def test_a_recipe_that_is_nested_without_end_or_grows_by_its_aliases_is_refused(tmp_path, capsys):
    (tmp_path / "deep.yaml").write_text(f"model: {'[' * 3000}{']' * 3000}")
    assert "deep.yaml is nested too deeply" in error_of(capsys, "--config=deep.yaml")
    (tmp_path / "itself.yaml").write_text("model: &a {b: *a}")
    assert "itself.yaml is nested too deeply" in error_of(capsys, "--config=itself.yaml")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    assert "bomb.yaml stands for 3922632450 values, with its aliases written out" in error_of(
        capsys, "--config=bomb.yaml"
    )


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.001, -1.0, 1e6])
@pytest.mark.parametrize("name", ["duration", "val_duration"])
def test_a_crop_has_a_duration_that_can_be_served(name, value):
    with pytest.raises(ValueError, match=f"crops.{name} is {value}: give 0.01 to 3600 s"):
        Crops(**{name: value})


def test_weights_are_finite_and_not_negative():
    assert LossWeights(mel=15.0).by_name()["mel"] == 15.0
    for value in (-1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"losses\.mel is"):
            LossWeights(mel=value)


def test_the_wrong_data_for_a_task_are_named(tmp_path, capsys):
    write_noise(tmp_path / "D" / "a.wav", seconds=0.5)
    write_noise(tmp_path / "D" / "b.wav", seconds=0.5)
    few = "--data={class_path: qcodec.data.audio.AudioFolder, init_args: {root: D, workers: 0, crops: {duration: 0.2, "
    few += "val_duration: 0.2}}}"
    assert "surrogate codecs train on SyntheticBits, and the data are Tensor" in error_of(capsys, few)


def test_an_environment_that_lightning_does_not_take_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert "unset SLURM_NTASKS outside of a job of several tasks" in error_of(capsys)
