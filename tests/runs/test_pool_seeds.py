from pathlib import Path

import numpy as np
import pytest

from qcodec.report.write import write_report
from qcodec.runs.pool_seeds import pool_seeds
from qcodec.runs.read import Run, Series
from qcodec.runs.schema import RunDescription, write_description

CONFIG = """
data: {{class_path: qcodec.data.synthetic.SyntheticBits, init_args: {{levels: 4, features: 30, frames: {frames}}}}}
model:
  class_path: qcodec.tasks.surrogate.SurrogateTask
  init_args: {{seed: {seed}, seeds: 2, slope: shared, systems: {{a: {{levels: {levels}}}, b: {{levels: 4}}}}}}
"""


def run(name, first_seed, steps=2, frames=50, levels=4, systems=("a", "b")):
    def series(offset):
        values = np.array([[offset + seed + step / 10 for step in range(steps)] for seed in (0, 1)]) + first_seed
        return Series(np.arange(1.0, steps + 1), values, (first_seed, first_seed + 1))

    config = CONFIG.format(frames=frames, seed=first_seed, levels=levels)
    return Run(name, {"mse": {system: series(10 * at) for at, system in enumerate(systems)}}, 1, config)


def test_other_seeds_of_the_same_system_are_put_in_order_beside_those_of_the_first_run():
    first, second = pool_seeds([run("late", 2), run("early", 0)])
    series = first.metrics["mse"]["b"]
    assert series.seeds == (0, 1, 2, 3)
    assert series.values.tolist() == [[10, 10.1], [11, 11.1], [12, 12.1], [13, 13.1]]
    assert not second.systems


def test_of_a_run_that_goes_on_the_steps_that_both_have_are_kept():
    first, _ = pool_seeds([run("whole", 0, steps=5), run("half", 2, steps=3)])
    assert first.metrics["mse"]["a"].steps.tolist() == [1, 2, 3]
    assert first.metrics["mse"]["a"].values.shape == (4, 3)


def test_series_without_a_common_step_keep_all_of_them():
    runs = [
        Run(
            str(seed),
            {"diverged_at": {"a": Series(np.array([step]), np.array([[step]]), (seed,))}},
            config=run("", 0).config,
        )
        for seed, step in ((0, 250.0), (1, 300.0))
    ]
    first, _ = pool_seeds(runs)
    assert first.diverged("a").tolist() == [250.0, 300.0]


def test_three_runs_and_a_system_that_only_some_have():
    first, second, third = pool_seeds([run("x", 0, systems=("a",)), run("y", 2), run("z", 4)])
    assert first.metrics["mse"]["a"].seeds == (0, 1, 2, 3, 4, 5)
    assert second.metrics["mse"]["b"].seeds == (2, 3, 4, 5)
    assert not third.systems


@pytest.mark.parametrize(
    "other",
    [
        run("same seeds", 0),
        run("one seed in common", 1),
        run("other data", 2, frames=60),
        Run("no config", run("", 2).metrics),
        Run("broken config", run("", 2).metrics, config="a: [b"),
        Run("no numbers of seeds", {"mse": {"a": Series(np.ones(1), np.ones((1, 1)))}}, config=run("", 2).config),
    ],
    ids=lambda other: other.name,
)
def test_what_may_be_another_experiment_stays_apart(other):
    first = run("first", 0)
    assert pool_seeds([first, other]) == [first, other]


def test_a_system_with_a_setting_of_its_own_stays_apart_and_the_others_do_not():
    first, second = pool_seeds([run("first", 0), run("second", 2, levels=5)])
    assert first.metrics["mse"]["b"].seeds == (0, 1, 2, 3)
    assert first.metrics["mse"]["a"].seeds == (0, 1)
    assert second.systems == ["a"]


AUDIO = """
seed_everything: {seed}
data: {{class_path: qcodec.data.audio.AudioFolder, init_args: {{root: here, seed: {seed}}}}}
model: {{class_path: qcodec.tasks.audio.AudioTask, init_args: {{seed: {seed}, lr: {lr}}}}}
"""


def audio_run(name, seed, values, lr=1, metric="mel"):
    series = Series(np.arange(1.0, len(values) + 1), np.array([values]))
    return Run(name, {metric: {"small": series}, "ma_e": {"small": series}}, 1, AUDIO.format(seed=seed, lr=lr))


def test_runs_of_one_codec_with_a_seed_each_count_as_one_with_all_of_them():
    runs = [
        audio_run("a", 0, [3.0, 2.0, 1.0]),
        audio_run("b", 7, [3.5, 2.5]),
        audio_run("c", 5, [4, 3], metric="val_mel"),
    ]
    first, second, third = pool_seeds(runs)
    assert first.metrics["mel"]["small"].seeds == (0, 7)
    assert first.metrics["mel"]["small"].values.tolist() == [[3.0, 2.0], [3.5, 2.5]]
    assert first.metrics["ma_e"]["small"].seeds == (0, 5, 7)
    assert first.metrics["val_mel"]["small"].values.tolist() == [[4.0, 3.0]]
    assert not second.systems
    assert not third.systems
    other = [audio_run("a", 0, [3.0]), audio_run("b", 1, [2.0], lr=2)]
    assert pool_seeds(other) == other


def test_a_report_counts_the_seeds_of_all_runs(tmp_path: Path):
    for name, seed in (("first", 0), ("second", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(CONFIG.format(frames=50, seed=seed, levels=4))
        columns = [f"by_seed/mse/a/{seed}", f"by_seed/mse/a/{seed + 1}"]
        (folder / "metrics.csv").write_text(f"epoch,step,{','.join(columns)}\n0,100,0.{seed + 1},0.{seed + 2}\n")
        write_description(folder, RunDescription("surrogate"))
    write_report([tmp_path / "first", tmp_path / "second"], tmp_path / "report")
    _, row = (tmp_path / "report/summary.csv").read_text().splitlines()
    assert row.startswith("a,4,100,0.25,")
