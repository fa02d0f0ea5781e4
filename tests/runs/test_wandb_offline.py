"""Anybody's offline W&B runs become curves by system and seed."""

import numpy as np
import pytest
import wandb

from qcodec.cli import main
from qcodec.figures.data import MeanCurve
from qcodec.runs.wandb_offline import offline_files, read_offline

LOSS = {0: [3.0, 2.0, 1.0], 1: [4.0, 2.5, 1.5], 2: [5.0, 4.5, 2.0]}


@pytest.fixture
def log(tmp_path):
    """Return what logs one offline run and returns its folder."""

    def logged(rows, **settings):
        run = wandb.init(
            mode="offline", dir=tmp_path, project="any", reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"), **settings,
        )  # fmt: skip
        for row in rows:
            run.log(row)
        run.finish()
        return tmp_path / "wandb"

    yield logged
    wandb.teardown()


def of_seed(seed, factor=1.0):
    return [{"loss": factor * value, "note": "text", "ok": True} for value in LOSS[seed]]


def test_runs_of_one_setting_are_one_system_and_what_differs_names_it(log):
    for lr in (0.1, 0.2):
        for seed in (2, 0, 1):
            folder = log(of_seed(seed, 10 * lr), config={"lr": lr, "seed": seed, "net": {"width": 3, "seed": seed}})
    run = read_offline(offline_files(folder))
    assert list(run.metrics) == ["loss"]
    assert list(run.metrics["loss"]) == ["lr=0.1", "lr=0.2"]
    series = run.metrics["loss"]["lr=0.2"]
    assert series.seeds == (0, 1, 2)
    np.testing.assert_allclose(series.values, 2 * np.array([LOSS[seed] for seed in range(3)]))
    np.testing.assert_array_equal(series.steps, [0, 1, 2])


def test_the_report_draws_mean_and_standard_error_and_says_how_many(log, tmp_path, capsys):
    for seed in range(3):
        folder = log(of_seed(seed), config={"seed": seed}, name="mine")
    runs = [str(path) for path in sorted(folder.glob("offline-run-*"))]
    assert main(["report", *runs, "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "figures" / "loss.png").is_file()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "lines: mean of N = 3 or fewer runs; bands: its standard error" in page
    assert (tmp_path / "out" / "summary.csv").read_text().splitlines()[1].startswith("mine,3,2,1.5,0.5")


def test_mean_and_standard_error_are_those_of_the_runs_that_have_a_value():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 4.0]])
    low, mean, high = MeanCurve(np.array([1.0, 2.0]), values).range()
    errors = [values[:, 0].std(ddof=1) / np.sqrt(3), np.array([2.0, 4.0]).std(ddof=1) / np.sqrt(2)]
    np.testing.assert_allclose(mean, [3, 3])
    np.testing.assert_allclose(high - mean, errors)
    np.testing.assert_allclose(mean - low, errors)


def test_the_parts_of_a_resumed_run_are_one_and_steps_count_updates(log):
    log([{"loss": 2.0, "trainer/global_step": 100}], id="same", resume="allow", config={"seed": 4})
    folder = log([{"loss": 1.0, "trainer/global_step": 200}], id="same", resume="allow")
    (series,) = read_offline(offline_files(folder)).metrics["loss"].values()
    np.testing.assert_array_equal(series.steps, [100, 200])
    assert series.seeds == (4,)


def test_a_file_that_was_cut_off_gives_what_it_holds_and_a_damaged_one_is_named(log, tmp_path):
    folder = log([{"loss": float(step)} for step in range(2000)])
    (path,) = offline_files(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (series,) = read_offline([path]).metrics["loss"].values()
    assert 100 < len(series.steps) < 2000
    broken = tmp_path / "run-x.wandb"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"run-x\.wandb is no file of an offline W&B run"):
        read_offline([broken])


def test_runs_without_numbers_are_an_error(log):
    with pytest.raises(ValueError, match="no numbers were logged"):
        read_offline(offline_files(log([{"note": "text"}])))
