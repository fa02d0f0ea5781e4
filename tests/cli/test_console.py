"""What a user sees of a fit: its help, a line an epoch, and what to do next."""

from pathlib import Path

import pytest
import yaml

from qcodec.cli import main
from qcodec.cli.training_help import settings_of_recipe
from qcodec.runs.recipes import all_recipes

SHORT = [
    "--trainer.accelerator=cpu", "--data.init_args.updates_per_epoch=3", "--data.init_args.source.init_args.frames=50",
    "--data.init_args.held_out_draws=1", "--trainer.max_epochs=2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("QCODEC_KERNELS", "0")


def fit(*words, recipe="surrogate/quickstart"):
    return main(["fit", "--config", recipe, "--run_dir", "run", *SHORT, *words])


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_help_is_a_page_and_says_that_a_recipe_is_a_program(command, capsys):
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: qcodec {command} --config RECIPE")
    assert "A recipe is a program" in told
    assert len(told.splitlines()) < 30


def test_help_of_a_recipe_lists_its_own_settings_with_those_of_its_fragments(capsys):
    assert main(["fit", "--config", "surrogate/sq_mste", "--help"]) == 0
    told = capsys.readouterr().out
    assert "  --data.init_args.source.init_args.levels 4\n" in told
    assert "estimator.class_path qcodec.ModifiedSTE\n" in told
    assert main(["fit", "--config", "no/such", "--help"]) == 1


@pytest.mark.parametrize("name", sorted(all_recipes()))
def test_every_setting_that_the_help_of_a_recipe_lists_is_one_line(name):
    listed = dict(settings_of_recipe(all_recipes()[name]))
    assert listed["model.class_path"].startswith("qcodec.tasks.")
    assert not [value for value in listed.values() if value.endswith(".yaml") or "\n" in value]


def test_lightnings_own_help_is_behind_a_word_of_its_own(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--help.trainer"])
    assert "--trainer.gradient_clip_val" in capsys.readouterr().out


def test_where_no_terminal_is_there_is_a_line_an_epoch_and_then_what_comes_next(capsys):
    assert fit() == 0
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("epoch")]
    assert [line.split(" (")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert "update 6" in lines[1]
    assert "sq_mste mse 0.8" in lines[1]
    assert "\r" not in said.err
    assert said.out == "run: ended at update 6; next: qcodec report run\n"


def test_quiet_says_nothing_and_is_no_setting_of_the_run(capsys):
    assert fit("--quiet") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert "quiet" not in yaml.safe_load(Path("run/config.yaml").read_text())


def test_a_run_that_logged_nothing_is_not_sent_to_the_report(capsys):
    assert fit("--trainer.fast_dev_run=true") == 0
    assert "logs no curves and writes no checkpoint" in capsys.readouterr().out
