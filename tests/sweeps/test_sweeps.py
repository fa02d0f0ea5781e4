"""Sweeps: what they are told, and that nothing of them is lost or done twice."""

import csv
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

from qcodec.cli import main
from qcodec.figures.parallel import parallel
from qcodec.runs.recipes import SWEEP_FILE, all_recipes, recipes_folder
from qcodec.runs.schema import RunDescription, write_description
from qcodec.runs.sweep_table import read_sweep_table, runs_of_sweep
from qcodec.sweeps import trial as sweep_trial
from qcodec.sweeps.settings import read_sweep, with_settings
from qcodec.sweeps.study import open_study, work
from qcodec.sweeps.trial import FitError, _seeded

GRID = {
    "config": "some/recipe",
    "set": {"trainer.max_epochs": 2},
    "search": {
        "model.rate": [0.1, 0.2],
        "model.kind": {"one": {"class_path": "a.One"}, "two": {"class_path": "a.Two"}},
    },
    "metric": "hard_mse/ste",
}
ONE_CLASS = {"class_path": "x.C", "init_args": {"rate": 1}}
BASE = {"trainer": {"max_epochs": 9}, "model": {"rate": 1.0, "kind": {"class_path": "a.Zero"}}}


def written(tmp_path, **changed):
    path = tmp_path / "sweep.yaml"
    content = {key: value for key, value in (GRID | changed).items() if value is not ...}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def fits(monkeypatch):
    """Fits that write what a formula of their settings gives, and their recipes in order."""
    done = []

    def fit(recipe, run_dir):
        content = yaml.safe_load(recipe.read_text())
        done.append(content)
        kind, rate = content["model"]["kind"]["class_path"], content["model"]["rate"]
        if kind == "a.Broken":
            raise FitError(f"{run_dir}: qcodec: error: of no use")
        run_dir.mkdir(parents=True, exist_ok=True)
        lost = "3" if kind == "a.Lost" else ""
        value = rate * (1 if kind == "a.One" else 2) + 0.001 * content.get("seed_everything", 0)
        rows = [
            "epoch,step,by_seed/hard_mse/ste/0,by_seed/hard_mse/ste/1,by_seed/diverged_at/ste/0,by_seed/diverged_at/ste/1",
            f"0,10,{value},{3 * value},{lost},{lost}",
        ]
        (run_dir / "metrics.csv").write_text("\n".join(rows) + "\n")
        (run_dir / "config.yaml").write_text(yaml.safe_dump(content))
        write_description(run_dir, RunDescription("surrogate", rank=("hard_mse",)))

    monkeypatch.setattr("qcodec.sweeps.trial._fit", fit)
    return done


def run(path, folder, **further):
    sweep = read_sweep(path)
    folder.mkdir(exist_ok=True)
    study = open_study(sweep, "s", f"sqlite:///{folder}/sweep.db", heartbeat=1)
    work(sweep, BASE, study, folder, pause=0.1)
    return read_sweep_table(folder)


def test_a_grid_is_tried_whole_once_and_each_trial_is_its_recipe_with_its_settings(tmp_path, fits):
    table = run(written(tmp_path), tmp_path / "out")
    assert [fit["model"] for fit in fits] == [
        {"rate": rate, "kind": {"class_path": kind}} for rate in (0.1, 0.2) for kind in ("a.One", "a.Two")
    ]
    assert all(fit["trainer"] == {"max_epochs": 2} for fit in fits)
    assert table.values() == [0.2, 0.4, 0.4, 0.8]  # medians of two seeds, x and 3 x
    assert [row["model.kind"] for row in table.rows] == ["one", "two", "one", "two"]
    assert [path.parent.name for path in runs_of_sweep(tmp_path / "out")][1] == "001 rate=0.1 kind=two"
    assert run(tmp_path / "sweep.yaml", tmp_path / "out").rows == table.rows
    assert len(fits) == 4


def test_seeds_are_fits_of_their_own_and_the_value_their_median(tmp_path, fits):
    path = written(tmp_path, seeds=[0, 10, 70], search={"model.rate": [0.1]})
    table = run(path, tmp_path / "out")
    assert [fit["seed_everything"] for fit in fits] == [0, 10, 70]
    assert table.values() == [pytest.approx(np.median([v * f for v in (0.2, 0.21, 0.27) for f in (1, 3)]))]
    assert len(runs_of_sweep(tmp_path / "out")) == 3


def test_a_seed_is_that_of_model_and_data_too_where_they_have_one():
    recipe = {
        "model": {"init_args": {"seed": 0, "clip": 1}},
        "data": {"init_args": {"root": "D"}},
        "seed_everything": 0,
    }
    changed = _seeded(recipe, 7)
    assert changed["model"]["init_args"] == {"seed": 7, "clip": 1}
    assert (changed["data"], changed["seed_everything"]) == (recipe["data"], 7)
    assert recipe["model"]["init_args"]["seed"] == 0


def test_a_search_makes_as_many_trials_as_it_is_told_within_its_ranges(tmp_path, fits):
    search = {"model.rate": {"from": 0.001, "to": 10.0, "log": True}, "model.size": {"from": 1, "to": 3}}
    table = run(written(tmp_path, search=search, trials=12, direction="maximize"), tmp_path / "out")
    rates = [fit["model"]["rate"] for fit in fits]
    assert len(table.rows) == len(set(rates)) == 12
    assert all(0.001 <= rate <= 10 for rate in rates)
    assert {fit["model"]["size"] for fit in fits} <= {1, 2, 3}


def test_what_diverged_is_pruned_and_what_failed_is_told_and_the_rest_goes_on(tmp_path, fits, monkeypatch, capsys):
    kinds = {name: {"class_path": f"a.{name}"} for name in ("Lost", "Broken", "One")}
    path = written(tmp_path, search={"model.kind": kinds})
    monkeypatch.setattr("qcodec.cli.sweep._base", lambda wanted, folder: BASE)
    assert main(["sweep", str(path), "--output", "out", "--heartbeat", "1"]) == 0
    assert "3 trials, 1 diverged, 1 failed; best hard_mse/ste 2 at model.kind One" in capsys.readouterr().out
    ended = {row["model.kind"]: row["ended"] for row in read_sweep_table(tmp_path / "out").rows}
    assert (ended["Lost"], ended["One"]) == ("diverged", "")
    assert "of no use" in ended["Broken"]


def test_the_report_of_a_sweep_has_its_trials_by_name_and_their_lines(tmp_path, fits):
    run(written(tmp_path), tmp_path / "out")
    assert main(["report", "out"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    for name in ("ste (000 rate=0.1 kind=one)", "ste (003 rate=0.2 kind=two)"):
        assert f"<td>{name}</td>" in page
    assert (tmp_path / "out" / "figures" / "out_trials.png").stat().st_size > 10_000
    assert "Comparisons, seed by seed" in page


WORKER = """
import sys, time
from pathlib import Path
import qcodec.sweeps.trial as trial
from qcodec.sweeps.settings import read_sweep
from qcodec.sweeps.study import open_study, work
def fit(recipe, run_dir):
    print("fits", flush=True)
    time.sleep(60)
trial._fit = fit
sweep, folder = read_sweep(Path(sys.argv[1])), Path(sys.argv[2])
work(sweep, {"model": {"rate": 1.0}}, open_study(sweep, "s", f"sqlite:///{folder}/sweep.db", heartbeat=1), folder)
"""


def test_the_trial_of_a_killed_worker_is_taken_over_into_its_folder(tmp_path, fits):
    path = written(tmp_path, search={"model.rate": [0.1]}, set=...)
    (tmp_path / "out").mkdir()
    words = [sys.executable, "-c", WORKER, str(path), str(tmp_path / "out")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline() == "fits\n"
        worker.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    table = run(path, tmp_path / "out")
    assert time.monotonic() - begun < 60
    assert [row["ended"] for row in table.rows] == [""]
    assert [place.name for place in (tmp_path / "out" / "trials").iterdir()] == ["000 rate=0.1"]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")  # that it is asked for by hand
def test_a_trial_that_was_taken_and_never_begun_is_begun_by_another(tmp_path, fits, monkeypatch):
    path = written(tmp_path, search={"model.rate": [0.1]})
    (tmp_path / "out").mkdir()
    lost = open_study(read_sweep(path), "s", f"sqlite:///{tmp_path}/out/sweep.db", heartbeat=1)
    lost.ask()  # and its worker dies
    monkeypatch.setattr("qcodec.sweeps.study._TO_BEGIN", 0.2)
    assert run(path, tmp_path / "out").values() == [0.4]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"search": ...}, "a sweep has keys config, search"),
        ({"serach": 1}, "there is no key 'serach': choose of config, set"),
        ({"config": 3}, "config must name one or more recipes"),
        ({"metric": ...}, "metric must name what is best"),
        ({"set": [1]}, "set must be settings by dotted name"),
        ({"search": {"a": 3}}, "a needs a list of values, values by name, or a range"),
        ({"search": {"a": {"from": 1, "to": 0}}}, "a from 1 to 0 is no range"),
        ({"search": {"a": {"from": 0, "to": 1, "log": True}}}, "above 0 where log is true"),
        ({"search": {"a": {"from": 0, "to": 1}}}, "sampler tpe needs a number of trials"),
        ({"search": {"a": {"from": 0, "to": 1}}, "sampler": "grid"}, "a is a range, which no grid has"),
        ({"search": {"a": [ONE_CLASS, ONE_CLASS]}}, "a has C twice: give its values names"),
        ({"search": {"a": ONE_CLASS}}, "a is one class: give a list, or values by name"),
        ({"sampler": "best"}, "sampler 'best': choose of grid, random, tpe"),
        ({"direction": "up"}, "direction 'up': choose of minimize, maximize"),
        ({"trials": 0}, "trials 0 must be 1 or more"),
        ({"seeds": [-1]}, "seeds must be a list of numbers"),
    ],
)
def test_what_is_no_sweep_is_told_with_the_key(tmp_path, changed, told, capsys):
    assert main(["sweep", str(written(tmp_path, **changed))]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "sweeps").exists()


def test_a_number_that_yaml_takes_for_a_word_is_one(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("config: r\nsearch: {a: {from: 1e-4, to: 1e-2, log: true}}\nmetric: m\ntrials: 1\n")
    (axis,) = read_sweep(path).axes
    assert (axis.low, axis.high, axis.log) == (1e-4, 1e-2, True)


def test_a_trial_that_is_stopped_goes_on_in_its_folder(tmp_path, fits, monkeypatch):
    path, fit = written(tmp_path, search={"model.rate": [0.1, 0.2]}), sweep_trial._fit
    stopped = []

    def stop(recipe, run_dir):
        if not stopped:
            stopped.append(run_dir)
            raise KeyboardInterrupt
        fit(recipe, run_dir)

    monkeypatch.setattr("qcodec.sweeps.trial._fit", stop)
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "out")
    table = run(path, tmp_path / "out")
    assert sorted(table.values()) == [0.4, 0.8]
    assert {row["folder"] for row in table.rows} == {"trials/000 rate=0.1", "trials/001 rate=0.2"}


def test_a_fit_that_logged_nothing_is_a_failed_trial_and_the_report_leaves_it_out(tmp_path, fits, monkeypatch):
    path, fit = written(tmp_path, search={"model.rate": [0.1, 0.2]}), sweep_trial._fit

    def silent(recipe, run_dir):
        fit(recipe, run_dir)
        if "0.1" in str(run_dir):
            (run_dir / "metrics.csv").unlink()

    monkeypatch.setattr("qcodec.sweeps.trial._fit", silent)
    table = run(path, tmp_path / "out")
    assert ["holds no values" in row["ended"] for row in table.rows] == [True, False]
    assert main(["report", "out"]) == 0


def test_a_study_of_another_sweep_is_refused(tmp_path, fits):
    run(written(tmp_path), tmp_path / "out")
    with pytest.raises(ValueError, match="the storage has another sweep as study 's': give this one another --name"):
        run(written(tmp_path, metric="mse/ste"), tmp_path / "out")


def test_a_setting_that_leads_nowhere_is_told_before_any_fit(tmp_path, fits, monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"the setting model.a.b leads nowhere at 'a': there are rate, kind"):
        with_settings(BASE, {"model.a.b": 1})
    with pytest.raises(ValueError, match="leads nowhere at 'rate': it has no parts"):
        with_settings(BASE, {"model.rate.b": 1})
    assert with_settings(BASE, {"model.new": 1})["model"] == BASE["model"] | {"new": 1}


def test_another_sweep_in_the_folder_and_a_storage_that_is_not_there_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("qcodec.cli.sweep._base", lambda wanted, folder: BASE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.yaml").write_text("config: other\n")
    assert main(["sweep", str(written(tmp_path)), "--output", "out"]) == 1
    assert "is another sweep's, or this one's before it was changed" in capsys.readouterr().err
    storage = "sqlite:////nowhere/at/all.db"
    assert main(["sweep", str(written(tmp_path)), "--output", "new", "--storage", storage]) == 1
    assert f"the storage {storage} cannot be opened" in capsys.readouterr().err


def test_a_real_sweep_fits_in_processes_of_its_own(tmp_path, capsys):
    fixed = {
        "trainer.max_epochs": 1, "trainer.logger": False, "trainer.accelerator": "cpu", "model.init_args.seeds": 2,
        "data.init_args.updates_per_epoch": 2, "data.init_args.source.init_args.frames": 50,
        "data.init_args.held_out_draws": 1,
    }  # fmt: skip
    search = {"model.init_args.systems.sq_mste.losses.commitment": [0.1]}
    path = written(tmp_path, config="surrogate/sq_mste", set=fixed, search=search, metric="hard_mse/sq_mste")
    assert main(["sweep", str(path)]) == 0
    assert "1 trials, 0 diverged, 0 failed; best hard_mse/sq_mste" in capsys.readouterr().out
    (folder,) = runs_of_sweep(tmp_path / "sweeps" / "sweep")
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert {"by_seed/hard_mse/sq_mste/0", "by_seed/hard_mse/sq_mste/1"} <= set(rows[0])


@pytest.mark.slow
def test_jobs_of_a_cluster_are_workers(tmp_path, capsys):
    """By submitit's executor on this machine; the fit itself has no recipe and fails, which the trial tells."""
    pytest.importorskip("submitit")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = written(tmp_path, search={"model.rate": [0.1]})
    assert main(["sweep", str(path), "--output", "out", "--cluster", "local", "--job", "timeout_min=2"]) == 0
    said = capsys.readouterr().out
    assert "1 jobs, whose words are in out/jobs" in said
    assert "1 trials, 0 diverged, 1 failed" in said
    (row,) = read_sweep_table(tmp_path / "out").rows
    assert "qcodec: error" in row["ended"]


SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
POSTGRES = SERVERS[-1].parent if SERVERS else None


@pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL server is installed")
def test_workers_share_a_postgresql_server(tmp_path, fits):
    pytest.importorskip("psycopg2")
    owner = [] if os.getuid() else ["runuser", "-u", "postgres", "--"]
    if owner:
        place = Path("/tmp") / f"qcodec-pg-{os.getpid()}"
        place.mkdir()
        os.chown(place, pwd.getpwnam("postgres").pw_uid, -1)
    else:
        place = tmp_path
    data, user = place / "data", "postgres" if owner else pwd.getpwuid(os.getuid()).pw_name
    call = [*owner, str(POSTGRES / "initdb"), "-D", str(data), "-A", "trust"]
    subprocess.run(call, check=True, capture_output=True, cwd=place)
    options = f"-c listen_addresses='' -k {place}"
    control = [*owner, str(POSTGRES / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(place / "log")]
    try:
        subprocess.run([*control, "start"], check=True, capture_output=True, cwd=place)
        sweep, storage = read_sweep(written(tmp_path)), f"postgresql+psycopg2://{user}@/postgres?host={place}"
        for folder in (tmp_path / "one", tmp_path / "two"):  # the second finds all done
            work(sweep, BASE, open_study(sweep, "s", storage, heartbeat=1), folder)
        assert len(fits) == 4
    finally:
        subprocess.run([*control, "stop", "-m", "immediate"], capture_output=True, cwd=place)
        shutil.rmtree(place, ignore_errors=True)


def test_parallel_coordinates_have_a_line_for_each_trial_and_places_for_words():
    columns = {"rate": ["0.0001", "0.01", "0.1"], "kind": ["b", "a", "b"]}
    figure = parallel(columns, np.array([0.5, 0.1, np.inf]), metric="mse", lower=True)
    assert isinstance(figure, Figure)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 3]
    heights = [list(line.get_ydata()) for line in lines]
    assert heights[-1] == [pytest.approx(2 / 3), 1.0, pytest.approx(0.0)]  # the best is drawn last, on top
    assert max(each[-1] for each in heights) > 1
    assert {text.get_text() for text in figure.axes[0].texts} >= {"a", "b", "1.0e-4", "0.1"}
    with pytest.raises(ValueError, match="there is no trial to draw"):
        parallel({}, np.empty(0), metric="mse", lower=True)


def test_the_sweeps_that_come_with_the_package_lead_to_settings_that_there_are():
    files = sorted(recipes_folder().rglob(f"*{SWEEP_FILE}"))
    assert files
    for path in files:
        sweep = read_sweep(path)
        assert all(name in all_recipes() for name in sweep.config)
        assert path.stem not in {Path(name).name for name in all_recipes()}
