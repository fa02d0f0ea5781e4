import json
import re
from dataclasses import replace

import numpy as np
import pytest

from qcodec.cli import main
from qcodec.cli.leaderboard import built
from qcodec.report import leaderboard
from qcodec.report.leaderboard import END, START, build, markdown, tables
from qcodec.report.leaderboard_entry import add, entries_of, read_entries
from qcodec.runs.read import Run, Series
from qcodec.runs.schema import Bound, RunDescription
from qcodec.tasks import update_time
from qcodec.tasks.surrogate_description import METRICS, RANK

SYSTEM = {
    "quantizer": {"class_path": "qcodec.ScalarQuantizer", "init_args": {"estimator": {"class_path": "qcodec.STE"}}}
}
SCHEDULE = {"class_path": "qcodec.schedules.Constant", "init_args": {"rate": 0.001}}
CODEBOOK = {"class_path": "qcodec.LearnedCodebook", "init_args": {"size": 16, "dim": 2}}
BOUND = Bound((0.0, 57.0), (0.88, 0.0))


def run(values, seeds=None, bits=60.0, kind="surrogate", systems=None):
    """Return a run of systems with the given hard MSE by seed, two steps each, the second the last."""
    import yaml

    some = next(iter(values.values()))
    numbers = tuple(range(100, 100 + len(some))) if seeds is None else tuple(seeds)
    metrics = {}
    for name, hard in values.items():
        mse = np.array(hard, dtype=float)
        kept = 57.0 * (1 - mse / 0.88)
        logged = {
            "hard_mse": mse, "mse": mse / 2, "ma_e": 1 + mse, "effective_bits": kept,
            "entropy_bits": np.full(len(mse), bits / 2), "bits_per_frame": np.full(len(mse), bits),
            "diverged_at": np.where(np.isnan(mse), 50.0, np.nan),
        }  # fmt: skip
        for metric, last in logged.items():
            first = np.zeros_like(last) if metric == "effective_bits" else last
            metrics.setdefault(metric, {})[name] = Series(np.array([100.0, 200.0]), np.stack([first, last], 1), numbers)
    task = {"systems": systems or dict.fromkeys(values, SYSTEM), "schedule": SCHEDULE}
    config = yaml.safe_dump(
        {"model": {"init_args": task}, "data": {"class_path": "qcodec.data.synthetic.SyntheticBits", "init_args": {}}}
    )
    return Run(
        "r",
        metrics,
        100,
        config,
        description=RunDescription(kind, METRICS, RANK, BOUND, made_by={"machine": "m", "command": "qcodec fit"}),
    )


def test_an_entry_holds_what_each_seed_reached_and_comes_back_from_its_file_as_it_was(tmp_path):
    (entry,) = entries_of(run({"a": [0.22, 0.44, np.nan]}), {"a": {"1e-3": [0.1, None]}})
    assert entry.values["hard_mse"] == (0.22, 0.44, None)
    assert entry.diverged_at == (None, None, 50.0)
    assert entry.system["schedule"] == SCHEDULE
    assert entry.made_by == {"machine": "m"}  # a command holds paths, which nobody else has
    assert (entry.seeds, entry.updates, entry.bits) == ((100, 101, 102), 200, 60.0)
    (path,) = add([entry], tmp_path)
    assert read_entries(tmp_path) == [entry]
    assert "NaN" not in path.read_text()


def test_bits_lost_are_what_the_codes_could_carry_less_what_they_carry():
    (at_60,) = entries_of(run({"a": [0.22, 0.22]}))
    assert at_60.lost == pytest.approx(57 - 0.75 * 57)  # the source has no more than 57 bits to carry
    (at_30,) = entries_of(run({"a": [0.44, 0.44]}, bits=30.0))
    assert at_30.lost == pytest.approx(30 - 28.5)


def test_half_way_is_the_first_measured_update_with_half_the_sources_bits():
    assert entries_of(run({"a": [0.43, 0.43]}))[0].half_way == 200.0
    assert entries_of(run({"a": [0.45, 0.45]}))[0].half_way is None


def test_entries_are_in_the_order_of_the_geometric_mean_where_what_diverged_counts_as_1_and_solved_as_1e_4(tmp_path):
    add(entries_of(run({"lost": [1e-9, np.nan], "even": [0.005, 0.005], "solved": [1e-12, 1e-5]})), tmp_path)
    assert [(each.name, each.merit) for each in read_entries(tmp_path)] == [
        ("solved", pytest.approx(1e-4)), ("even", pytest.approx(0.005)), ("lost", pytest.approx(1e-2)),
    ]  # fmt: skip


def test_further_seeds_join_an_entry_and_the_same_ones_or_other_settings_are_refused(tmp_path):
    add(entries_of(run({"a": [0.1, 0.2]})), tmp_path)
    add(entries_of(run({"a": [0.3, 0.4, 0.5]}, seeds=(7, 8, 9))), tmp_path)
    (joined,) = read_entries(tmp_path)
    assert joined.seeds == (100, 101, 7, 8, 9)
    assert joined.values["hard_mse"] == (0.1, 0.2, 0.3, 0.4, 0.5)
    with pytest.raises(ValueError, match="seed 8 of a already"):
        add(entries_of(run({"a": [0.3, 0.4]}, seeds=(8, 10))), tmp_path)
    other = {"a": SYSTEM | {"embedding": 24}, "b": SYSTEM}
    with pytest.raises(ValueError, match="another system"):
        add(entries_of(run({"b": [0.1, 0.1], "a": [0.3, 0.4]}, seeds=(11, 12), systems=other)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]  # of two, one refused: neither is written


def test_ten_seeds_rank_an_entry_and_those_that_they_do_not_tell_from_the_first_are_marked():
    seeds = np.geomspace(0.01, 0.02, 12)
    entries = entries_of(run({"first": seeds, "near": seeds * np.resize([1.2, 0.9], 12), "far": seeds * 3}))
    few = entries_of(run({"few": [0.001] * 5}))
    ranked, screened = tables(sorted([*entries, *few], key=lambda entry: entry.merit))
    assert [(row.cells[0], row.level) for row in ranked[2]] == [("first", False), ("near", True), ("far", False)]
    assert [row.cells[0] for row in screened[2]] == ["few"]
    assert "no ranking" in screened[1]


def test_entries_at_another_rate_have_a_table_of_their_own_in_the_order_of_bits_lost():
    usual = entries_of(run({"a": [0.1] * 3, "b": [0.2] * 3, "c": [0.3] * 3}))
    low = entries_of(run({"low": [0.44] * 3}, bits=30.0))
    none = entries_of(run({"poor": [0.4] * 3}, bits=960.0))
    *_, (title, _, rows) = tables([*usual, *none, *low])
    assert title.startswith("At other rates")
    assert [row.cells[0] for row in rows] == ["low", "poor"]


def test_the_page_and_the_readme_are_made_of_the_files_alone(tmp_path):
    folder = tmp_path / "board"
    (folder / "entries").mkdir(parents=True)
    (folder / "README.md").write_text(f"# Board\n\n{START}\nold\n{END}\n\nAfter it.\n")
    add(entries_of(run({"a<b": [0.1, 0.2, 0.2], "c": [0.3, 0.3, np.nan]})), folder / "entries")
    assert main(["leaderboard", "build", "--folder", str(folder), "--output", str(tmp_path / "page.html")]) == 0
    text = (folder / "README.md").read_text()
    assert text == f"# Board\n\n{START}\n{markdown(read_entries(folder / 'entries'))}\n{END}\n\nAfter it.\n"
    html = (tmp_path / "page.html").read_text()
    assert "a&lt;b" in html
    assert "a<b" not in html
    assert len(re.findall("<polyline", html)) == 2
    build(folder, tmp_path / "page.html")
    assert (folder / "README.md").read_text() == text


@pytest.mark.parametrize("other", [{"updates": 40}, {"data": {"init_args": {"source": {"class_path": "Another"}}}}])
def test_an_entry_of_another_length_or_other_data_is_not_held_against_the_rest(other):
    (odd,) = entries_of(run({"odd": [0.001] * 3}))
    first, second = tables([*entries_of(run({"a": [0.1] * 3, "b": [0.2] * 3})), replace(odd, **other)])
    assert [row.cells[0] for row in first[2]] == ["a", "b"]
    assert [row.cells[0] for row in second[2]] == ["odd"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 1}', '{"seeds": [1]}'])
def test_a_file_that_is_no_entry_is_named(tmp_path, content, capsys):
    (tmp_path / "entries").mkdir()
    (tmp_path / "entries/x.json").write_text(content)
    assert main(["leaderboard", "build", "--folder", str(tmp_path), "--output", str(tmp_path / "p.html")]) == 1
    assert "x.json is no entry of the leaderboard" in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()


def test_without_entries_the_command_says_how_to_come_by_one(tmp_path, capsys):
    assert main(["leaderboard", "build", "--folder", str(tmp_path)]) == 1
    assert "qcodec leaderboard add RUN" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["kind", "settings", "seeds"])
def test_a_run_that_can_be_no_entry_is_refused_with_the_reason(broken):
    whole = run({"a": [0.1, 0.2]})
    lone = {metric: {"a": replace(each["a"], seeds=())} for metric, each in whole.metrics.items()}
    bad = {"kind": run({"a": [0.1, 0.2]}, kind="audio"), "settings": replace(whole, config=None)}
    with pytest.raises(ValueError, match="by seed" if broken == "seeds" else "is no run of surrogate codecs"):
        entries_of(bad.get(broken, replace(whole, metrics=lone)))


def test_a_real_fit_becomes_an_entry(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    words = ["--model.init_args.seeds=2", "--data.init_args.updates_per_epoch=2", "--trainer.max_epochs=2"]
    words += ["--data.init_args.source.init_args.frames=50", "--data.init_args.held_out_draws=1", "--quiet"]
    assert main(["fit", "--config", "surrogate/sq_mste", "--run_dir", str(tmp_path / "r"), *words]) == 0
    (tmp_path / "t.json").write_text(json.dumps({"sq_mste": {"1e-3": [0.5]}}))
    told = ["--tuning", str(tmp_path / "t.json"), "--folder", str(tmp_path / "entries")]
    assert main(["leaderboard", "add", str(tmp_path / "r"), *told]) == 0
    (entry,) = read_entries(tmp_path / "entries")
    assert (entry.name, entry.seeds, entry.updates, entry.steps) == ("sq_mste", (0, 1), 4, (2.0, 4.0))
    assert entry.tuning == {"1e-3": (0.5,)}
    assert entry.bits == 60.0
    assert entry.relative_time > 0
    assert {"time", "peak memory"} <= set(entry.made_by)
    assert 0 < entry.values["hard_mse"][0] < 5
    row = leaderboard._row(entry)
    assert row.cells[1:3] == ("ScalarQuantizer", "ModifiedSTE")


def test_the_time_of_a_system_is_told_by_that_of_the_plainest(monkeypatch):
    spent = {"ScalarQuantizer": 1.0, "ProductQuantizer": 3.0}  # a clock that goes on by what a system is made of

    def seconds(self):
        return spent[type(next(iter(self.task.systems.values())).quantizers[0]).__name__]

    monkeypatch.setattr(update_time._Updates, "seconds", seconds)
    product = {"class_path": "qcodec.product_vq", "init_args": {"dim": 30, "groups": 15, "codebook": CODEBOOK}}
    layered = {"class_path": "qcodec.LayeredQuantizer", "init_args": {"before": [{"class_path": "qcodec.LayerNorm"}]}}
    layered["init_args"]["quantizer"] = SYSTEM["quantizer"]
    told = json.dumps(layered)
    assert built({"layered": {"quantizer": layered}})
    assert json.dumps(layered) == told  # settings stay as they are
    systems = {"plain": SYSTEM, "product": {"quantizer": product, "losses": {"codebook": 1.0}}}
    assert update_time.relative_times(built(systems)) == {"plain": 1.0, "product": 3.0}
