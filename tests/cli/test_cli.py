import csv
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from qcodec.callbacks.checkpoint_files import CheckpointFiles
from qcodec.cli import main

FAST = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--data.init_args.source.init_args.frames=50",
]
FAST += ["--data.init_args.updates_per_epoch=4", "--data.init_args.held_out_draws=1"]
SYSTEM = "--model.init_args.systems"


def fit(*words, recipe="surrogate/sq_mste", epochs=1):
    return main(["fit", "--config", recipe, *FAST, f"--trainer.max_epochs={epochs}", *words])


def error_of(capsys, *words, **settings):
    """One line on stderr, no traceback, and a status other than 0."""
    status = fit(*words, **settings) if words and words[0].startswith("--") else main(list(words))
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line or "Traceback (" in line]
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith("qcodec: error: ")
    return lines[0]


def table(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_a_fit_leaves_its_settings_its_metrics_and_a_checkpoint(tmp_path):
    assert fit("--run_dir=run", epochs=2) == 0
    assert [row["step"] for row in table(tmp_path / "run/metrics.csv")] == ["4", "8"]
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert config["data"]["init_args"]["source"]["init_args"]["frames"] == 50
    assert "run_dir" not in config
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 8


def test_runs_without_a_folder_are_numbered_under_their_recipe(tmp_path):
    for _ in range(2):
        assert fit() == 0
    assert sorted(p.name for p in (tmp_path / "runs/surrogate/sq_mste").iterdir()) == ["0", "1"]


def test_a_checkpoint_takes_its_place_whole_and_without_the_folder_of_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "mkstemp", lambda *_, **__: pytest.fail("a file was made elsewhere"))
    assert fit("--run_dir=run", "--trainer.logger=false") == 0
    (path,) = (tmp_path / "run/checkpoints").iterdir()
    before = path.read_bytes()

    def cut(content, file):
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(OSError, match="the disk is full"):
        CheckpointFiles().save_checkpoint({}, path)
    assert list((tmp_path / "run/checkpoints").iterdir()) == [path]
    assert path.read_bytes() == before


def test_what_goes_on_top_of_a_recipe_is_in_the_name_of_its_folder(tmp_path):
    (tmp_path / "few.yaml").write_text("seed_everything: 5\n", encoding="utf-8")
    (tmp_path / "more.yaml").write_text("seed_everything: 6\n", encoding="utf-8")
    assert fit("--config", "few.yaml", "--config=more.yaml") == 0
    assert [p.name for p in (tmp_path / "runs/surrogate").iterdir()] == ["sq_mste+few+more"]
    assert (tmp_path / "runs/surrogate/sq_mste+few+more/0/metrics.csv").is_file()


def test_the_saved_settings_run_again_to_the_same_numbers(tmp_path):
    fit("--run_dir=first")
    assert main(["fit", "--config", "first/config.yaml", "--run_dir=second"]) == 0
    assert table(tmp_path / "first/metrics.csv") == table(tmp_path / "second/metrics.csv")


def test_a_run_is_resumed_in_its_own_folder_and_ends_as_if_never_stopped(tmp_path):
    fit("--run_dir=whole", epochs=3)
    fit("--run_dir=parts", epochs=1)
    assert fit("--ckpt_path=parts/checkpoints/last.ckpt", epochs=3) == 0
    assert table(tmp_path / "parts/metrics.csv") == table(tmp_path / "whole/metrics.csv")


def test_validate_test_and_predict_write_beside_the_run_they_measure(tmp_path):
    fit("--run_dir=run")
    before = (tmp_path / "run/metrics.csv").read_bytes()
    arguments = ["--config=run/config.yaml", "--ckpt_path=run/checkpoints/last.ckpt"]
    for command in ("validate", "test", "predict"):
        assert main([command, *arguments]) == 0
    assert (
        table(tmp_path / "run/validate.csv")[0]["hard_mse/sq_mste"]
        == table(tmp_path / "run/metrics.csv")[0]["hard_mse/sq_mste"]
    )
    assert 0 < float(table(tmp_path / "run/test.csv")[0]["hard_mse/sq_mste"]) < 2
    prediction = torch.load(tmp_path / "run/predictions/0-00000.pt", weights_only=True)
    assert prediction["sq_mste"]["codes"].shape == (1, 30, 50)
    assert (tmp_path / "run/metrics.csv").read_bytes() == before


def test_a_users_own_quantizer_is_found_beside_the_recipe_that_names_it(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from qcodec import GradientEstimator\n"
        "from qcodec.functional import straight_through\n"
        "class Halved(GradientEstimator):\n"
        "    def estimate(self, z, z_q):\n"
        "        return straight_through(z / 2, z_q)\n"
    )
    (tmp_path / "recipe.yaml").write_text(
        "trainer: {max_epochs: 1}\n"
        "data:\n  class_path: qcodec.data.synthetic.SyntheticBits\n"
        "  init_args: {source: {class_path: qcodec.data.rounded_gaussian.RoundedGaussian}}\n"
        "model:\n  class_path: qcodec.tasks.surrogate.SurrogateTask\n  init_args:\n    systems:\n      own:\n"
        "        quantizer: {class_path: qcodec.ScalarQuantizer, init_args: {estimator: {class_path: mine.Halved}}}\n"
    )
    script = "import sys; sys.path.remove(''); from qcodec.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "fit", "--config", "recipe.yaml", "--run_dir=run", *FAST]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mse/own" in table(tmp_path / "run/metrics.csv")[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["fit", "--config", "surrogate/sq_msteee"],
            r"no recipe 'surrogate/sq_msteee'.*did you mean surrogate/sq_mste",
        ),
        (["fit", "--config", "none/such.yaml"], "there is no recipe 'none/such.yaml'"),
        (["fit"], "model"),
        (["train"], "'train' is no command: choose one of fit"),
        (["report", "nowhere"], "nowhere"),
        (["--model.init_args.systems.sq_mste.quantizer.init_args.levels=1"], "levels=1 carries no information"),
        (["--model.init_args.systems.sq_mste.quantizer.init_args.levels=many"], "levels.*many"),
        (["--model.init_args.systems.sq_mste.losses.comitment=0.1"], "no setting 'comitment': choose"),
        (["--model.init_args.systems.sq_mste.quantizer=NoSuchQuantizer"], "'NoSuchQuantizer' is no class"),
        (["--model.init_args.sytems=1"], "no setting 'sytems': choose one of systems, seeds"),
        (["--model.init_args.features=20"], "30 features a frame and the task 20"),
        (["--data.init_args.rotation=often"], "rotation.*often"),
        (["--trainer.max_epokhs=1"], "max_epokhs"),
        (["--model.init_args.systems.sq_mste.quantizer.init_args.levles=4"], "no setting 'levles'.*levels, step"),
        (["--ckpt_path=missing.ckpt"], "there is no checkpoint missing.ckpt"),
        (
            ["--model.init_args.systems.sq_mstx.losses.commitment=0.1"],
            r"sq_mstx.*has no `quantizer`.*check the spelling",
        ),
        (["--trainer.accelerator=abacus"], "abacus"),
        (["validate", "--config", "surrogate/sq_mste"], "`validate` needs a trained model: give --ckpt_path"),
    ],
)
def test_a_mistake_gives_one_line_that_names_it(capsys, words, expected):
    assert re.search(expected, error_of(capsys, *words))


def test_a_report_on_an_empty_folder_is_an_error_of_one_line(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in error_of(capsys, "report", "empty")
    assert not list((tmp_path / "empty").iterdir())


def test_a_recipe_that_is_no_yaml_is_named(capsys, tmp_path):
    (tmp_path / "broken.yaml").write_text("trainer: {max_epochs: 1\ndata: [")
    assert "broken.yaml is no valid YAML" in error_of(capsys, "fit", "--config", "broken.yaml")


GRID = """\
data:
  class_path: qcodec.data.synthetic.SyntheticBits
  init_args: {source: {class_path: qcodec.data.rounded_gaussian.RoundedGaussian}}
model:
  class_path: qcodec.tasks.surrogate.SurrogateTask
  init_args:
    systems:
      grid:
        base: {quantizer: {class_path: qcodec.ScalarQuantizer}}
        axes:
          quantizer.init_args.levels: {l2: 2, l4: 4}
          losses: {"": {}, cl: {commitment: 0.1}}
"""


def test_a_grid_trains_its_systems_and_the_saved_settings_hold_each_of_them_in_full(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID, encoding="utf-8")
    assert fit("--run_dir=run", recipe="grid.yaml") == 0
    systems = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["model"]["init_args"]["systems"]
    assert list(systems) == ["l2", "l2_cl", "l4", "l4_cl"]
    assert systems["l2_cl"]["quantizer"]["init_args"]["levels"] == 2
    assert systems["l2_cl"]["losses"]["commitment"] == 0.1
    assert main(["fit", "--config", "run/config.yaml", "--run_dir=again"]) == 0
    assert table(tmp_path / "run/metrics.csv") == table(tmp_path / "again/metrics.csv")


def test_a_grid_that_cannot_be_expanded_is_an_error_of_one_line(capsys, tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID.replace("l4:", "4:"), encoding="utf-8")
    expected = "systems.grid.axes.quantizer.init_args.levels: the name 4 is no text"
    assert expected in error_of(capsys, "fit", "--config", "grid.yaml")


def test_the_settings_of_a_failed_attempt_do_not_stay(capsys, tmp_path):
    assert "seeds=-1" in error_of(capsys, "--run_dir=run", "--model.init_args.seeds=-1")
    assert fit("--run_dir=run", recipe="surrogate/na") == 0
    assert "na:" in (tmp_path / "run/config.yaml").read_text()
    assert "seeds: 1" in (tmp_path / "run/config.yaml").read_text()


def test_a_folder_that_holds_a_run_is_not_written_over(capsys, tmp_path):
    fit("--run_dir=run")
    before = (tmp_path / "run/metrics.csv").read_bytes()
    assert "run holds a run already: give another --run_dir, or resume it" in error_of(capsys, "--run_dir=run")
    assert (tmp_path / "run/metrics.csv").read_bytes() == before


def test_a_damaged_checkpoint_is_an_error_of_one_line(capsys, tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"not a checkpoint")
    assert "bad.ckpt" in error_of(capsys, "--ckpt_path=bad.ckpt", "--run_dir=run")


def test_a_checkpoint_of_another_model_is_an_error_of_one_line(capsys):
    fit("--run_dir=run")
    arguments = ["--ckpt_path=run/checkpoints/last.ckpt", "--run_dir=other"]
    assert "is of another model than the recipe's" in error_of(capsys, *arguments, recipe="surrogate/na")
    words = ["validate", "--config", "surrogate/na", arguments[0]]
    assert "is of another model than the recipe's" in error_of(capsys, *words)


def test_recipes_are_listed_with_their_claims(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.match(r"surrogate/sq_mste +\S.*\.$", line) for line in lines)


def test_help_and_version_are_told(capsys):
    assert main(["--help"]) == main([]) == main(["--version"]) == 0
    assert "usage: qcodec COMMAND" in capsys.readouterr().out


def test_python_m_qcodec_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "qcodec", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("qcodec: error: 'nonsense' is no command")


def test_ctrl_c_keeps_the_state_and_gives_the_usual_status(tmp_path):
    """Interrupted for real, from outside, in the middle of a long run; then resumed."""
    command = [sys.executable, "-m", "qcodec", "fit", "--config", "surrogate/sq_mste", "--run_dir=run", *FAST[:3]]
    command += ["--data.init_args.held_out_draws=1", "--data.init_args.updates_per_epoch=200"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--trainer.max_epochs=100000"], env=environment, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    metrics = tmp_path / "run/metrics.csv"
    deadline = time.monotonic() + 120
    try:
        while process.poll() is None and not (metrics.is_file() and len(table(metrics)) >= 2):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert b"Traceback" not in errors
    assert process.returncode == 130
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] >= 400
    epochs = state["global_step"] // 200 + 1
    resume = ["--ckpt_path=run/checkpoints/last.ckpt", f"--trainer.max_epochs={epochs}"]
    assert main([*command[3:], *resume]) == 0
    assert table(metrics)[-1]["step"] == str(epochs * 200)


@pytest.mark.slow
def test_an_installed_wheel_brings_the_recipes_along(tmp_path):
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "wheels", str(root)], check=True)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = "import sys; sys.path.insert(0, 'site'); from qcodec.cli import main; sys.exit(main())"
    for words in (["recipes"], ["fit", "--config", "surrogate/quickstart", "--print_config"]):
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
        assert "quickstart" in done.stdout or "qcodec.ModifiedSTE" in done.stdout


@pytest.mark.parametrize(
    ("own", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_the_program_lets_waiting_threads_sleep_unless_the_user_decided(monkeypatch, own, expected):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["qcodec", "--version"])
    assert main() == 0
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_a_checkpoint_of_ones_own_stands_beside_the_last_one(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "trainer: {callbacks: [{class_path: lightning.pytorch.callbacks.ModelCheckpoint, "
        "init_args: {filename: 'best', monitor: hard_mse/sq_mste}}]}\n"
    )
    assert fit("--config=own.yaml", "--run_dir=run", epochs=2) == 0
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert main(["validate", "--config=run/config.yaml", "--ckpt_path=run/checkpoints/last.ckpt"]) == 0
    assert fit("--config=own.yaml", "--ckpt_path=run/checkpoints/last.ckpt", epochs=3) == 0
    assert main(["validate", "--config=run/config.yaml", "--ckpt_path=run/checkpoints/last.ckpt"]) == 0
    assert [row["step"] for row in table(tmp_path / "run/validate.csv")] == ["8", "12"]
