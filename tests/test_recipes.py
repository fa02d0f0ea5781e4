"""Every recipe runs, and every fragment is used by one."""

import csv
import re

import pytest
import yaml

from qcodec.cli import main
from qcodec.cli.recipes import all_recipes, recipes_folder

RECIPES = all_recipes()
SHORT = [
    "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu",
    "--data.init_args.updates_per_epoch=3", "--data.init_args.frames=50", "--data.init_args.held_out_draws=1",
]  # fmt: skip


def header(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_and_logs_a_row_with_every_system(name, tmp_path):
    assert main(["fit", "--config", name, "--run_dir", str(tmp_path / "run"), *SHORT]) == 0
    (row,) = csv.DictReader((tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines())
    assert (row["epoch"], row["step"]) == ("0", "3")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    for system in config["model"]["init_args"]["systems"]:
        assert 0 < float(row[f"mse/{system}"]) < 10
        assert 0 < float(row[f"hard_mse/{system}"]) < 10
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_states_its_claim_its_cost_and_its_expected_numbers(name):
    first, *rest = header(RECIPES[name])
    assert first.endswith(".")
    assert any(re.match(r"# Cost: .*(second|minute|hour)", line) for line in rest)
    expected = " ".join(rest).partition("Expected: ")[2]
    assert re.search(r"\d", expected), f"no expected number: {expected!r}"


def test_every_fragment_is_used():
    conf = recipes_folder().parent / "conf"
    fragments = {path.resolve() for path in conf.rglob("*.yaml")}
    files = [*RECIPES.values(), *fragments]
    named = {
        (file.parent / reference).resolve()
        for file in files
        for reference in re.findall(r"\S+\.yaml", file.read_text(encoding="utf-8"))
    }
    assert fragments <= named
