"""Runs from Python: what the command line does, as functions."""

import subprocess
import sys

import numpy as np
import pytest

import qcodec
from qcodec.cli import main
from qcodec.runs.recipes import find_recipe

FAST = {
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
    "data.init_args.source.init_args.frames": 50,
    "data.init_args.updates_per_epoch": 4,
    "data.init_args.held_out_draws": 1,
}
RECIPE = {
    "data": {
        "class_path": "qcodec.data.synthetic.SyntheticBits",
        "init_args": {"source": {"class_path": "qcodec.data.rounded_gaussian.RoundedGaussian"}},
    },
    "model": {
        "class_path": "qcodec.tasks.surrogate.SurrogateTask",
        "init_args": {
            "systems": {
                "grid": {
                    "base": {"quantizer": {"class_path": "qcodec.ScalarQuantizer"}},
                    "axes": {"quantizer.init_args.levels": {"l2": 2, "l4": 4}},
                }
            }
        },
    },
}


def test_a_fit_from_python_is_that_of_the_command_line(tmp_path):
    run = qcodec.fit("surrogate/sq_mste", run_dir="of_python", **FAST, **{"model.init_args.seeds": 2})
    words = ["--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    words += [f"--{name}={value}" for name, value in FAST.items() if name != "trainer"]
    assert main(["fit", "--config=surrogate/sq_mste", "--run_dir=of_cli", "--model.init_args.seeds=2", *words]) == 0
    assert (run.path / "metrics.csv").read_bytes() == (tmp_path / "of_cli/metrics.csv").read_bytes()
    settings = [(tmp_path / folder / "config.yaml").read_text() for folder in ("of_python", "of_cli")]
    assert settings[0].replace("of_python", "of_cli") == settings[1]


def test_a_run_has_its_settings_and_its_metrics_as_columns_of_one_length():
    run = qcodec.fit("surrogate/sq_mste", **FAST, **{"model.init_args.seeds": 2})
    assert run.path.as_posix() == "runs/surrogate/sq_mste/0"
    assert run.settings["data"]["init_args"]["source"]["init_args"]["frames"] == 50
    assert run.metrics["step"].tolist() == [4, 8]
    assert {len(column) for column in run.metrics.values()} == {2}
    seeds = [run.metrics[f"by_seed/mse/sq_mste/{seed}"] for seed in (0, 1)]
    np.testing.assert_allclose(np.mean(seeds, axis=0), run.metrics["mse/sq_mste"], rtol=1e-6)
    assert qcodec.load_run(str(run.path)).metrics.keys() == run.metrics.keys()


def test_settings_as_plain_data_are_a_recipe_and_a_runs_own_settings_run_it_again():
    run = qcodec.fit(RECIPE, run_dir="first", **FAST)
    assert list(run.settings["model"]["init_args"]["systems"]) == ["l2", "l4"]
    again = qcodec.fit(run.settings, run_dir="second")
    assert (run.path / "metrics.csv").read_bytes() == (again.path / "metrics.csv").read_bytes()


def test_further_recipes_go_on_top_and_a_checkpoint_resumes():
    first = qcodec.fit("surrogate/sq_mste", {"model": {"init_args": {"seeds": 2}}}, run_dir="run", **FAST)
    assert first.settings["model"]["init_args"]["seeds"] == 2
    checkpoint = first.path / "checkpoints/last.ckpt"
    settings = {**first.settings, "trainer": {**first.settings["trainer"], "max_epochs": 3}}
    assert qcodec.fit(settings, ckpt_path=checkpoint).metrics["step"].tolist() == [4, 8, 12]


@pytest.mark.parametrize(
    ("recipe", "overrides", "expected"),
    [
        ("surrogate/sq_msteee", {}, "did you mean surrogate/sq_mste"),
        ("surrogate/sq_mste", {"model.init_args.sytems": 1}, "model.init_args.sytems: there is no setting"),
        ("surrogate/sq_mste", {"modell": 1}, "modell"),
        (
            "surrogate/sq_mste",
            {"model.init_args.schedule": object()},
            "is no plain data: write an object as class_path",
        ),
        ({"model": 3}, {}, "model"),
    ],
)
def test_a_mistake_raises_with_one_line_and_does_not_exit(recipe, overrides, expected):
    with pytest.raises(ValueError, match=expected) as raised:
        qcodec.fit(recipe, **overrides)
    assert "\n" not in str(raised.value)


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run.json: it is no run, or one of an earlier version"):
        qcodec.load_run(tmp_path)


def test_the_api_is_imported_without_torch_and_the_recipes_are_found():
    script = "import sys, qcodec; qcodec.load_run; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert find_recipe("surrogate/quickstart").is_file()
