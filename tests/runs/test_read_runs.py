from pathlib import Path

import numpy as np
import pytest

from qcodec.runs.read import Run, Series, read_run, side_by_side
from qcodec.runs.schema import Metric, RunDescription, write_description

FIT = """epoch,step,mse/a,by_seed/mse/a/0,by_seed/mse/a/1,hard_mse/a,mel
0,10,,,,0.5,
,10,,0.1,0.3,,
0,10,0.2,,,,7
1,20,,,,0.4,
,20,,nan,inf,,
1,20,nan,,,,6
"""


def written(tmp_path: Path, text: str, name: str = "run") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "metrics.csv").write_text(text)
    write_description(folder, RunDescription("other", (Metric("mse", "MSE", "MSE"),)))
    return folder


def test_rows_of_one_step_become_one_step_of_a_series(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, FIT))
    mse = run.series("mse", "a")
    assert mse is not None
    assert mse.steps.tolist() == [10, 20]
    np.testing.assert_array_equal(mse.values, [[0.1, np.nan], [0.3, np.inf]])
    assert run.updates_per_epoch == 10


def test_a_metric_without_values_by_seed_has_one_seed(tmp_path: Path) -> None:
    hard = read_run(written(tmp_path, FIT)).series("hard_mse", "a")
    assert hard is not None
    assert hard.values.tolist() == [[0.5, 0.4]]


def test_a_column_without_a_system_belongs_to_the_system_named_as_the_folder(tmp_path: Path) -> None:
    mel = read_run(written(tmp_path, FIT, "my_codec")).series("mel", "my_codec")
    assert mel is not None
    assert mel.last.tolist() == [6]


def test_a_line_that_was_cut_off_is_left_out_and_counted(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, FIT + "2,30,0."))
    assert run.skipped_lines == 1
    assert max(series.steps[-1] for by_system in run.metrics.values() for series in by_system.values()) == 20


def test_a_test_after_training_leaves_the_updates_per_epoch_as_they_are(tmp_path: Path) -> None:
    assert read_run(written(tmp_path, "epoch,step,mse/a,test/a\n0,50,0.2,\n1,50,,0.3\n")).updates_per_epoch == 50


def test_the_first_divergence_of_each_seed_counts() -> None:
    steps = np.array([1.0, 2.0])
    run = Run("r", {"diverged_at": {"a": Series(steps, np.array([[np.nan, 7.0], [np.nan, np.nan]]))}})
    np.testing.assert_array_equal(run.diverged("a"), [7.0, np.nan])
    assert run.diverged("b").shape == (0,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no values"),
        ("epoch,step,mse/a\n", "holds no values"),
        ("step,mse/a\n1,fast\n", "'fast' in column 'mse/a': every cell must be a number"),
    ],
)
def test_a_file_without_numbers_is_named_with_a_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_run(written(tmp_path, text))


def test_a_missing_folder_a_file_and_a_folder_that_holds_no_run_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere does not exist"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is not a folder"):
        read_run(tmp_path / "file")
    with pytest.raises(ValueError, match=r"holds no run\.json: it is no run, or one of an earlier version"):
        read_run(tmp_path)


def test_a_run_of_the_former_layout_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(FIT)
    with pytest.raises(ValueError, match=r"holds no run\.json: .* run its recipe again$"):
        read_run(tmp_path)


def test_a_run_that_has_logged_nothing_yet_is_waited_for(tmp_path: Path) -> None:
    write_description(tmp_path, RunDescription("other"))
    with pytest.raises(ValueError, match=r"metrics\.csv holds no values: wait until the run's first epoch has ended"):
        read_run(tmp_path)


def test_a_run_says_of_its_metrics_what_it_states_and_then_those_that_it_only_logged(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, FIT))
    assert [(metric.name, metric.title) for metric in run.described] == [
        ("mse", "MSE"), ("hard_mse", "hard_mse"), ("mel", "mel"),
    ]  # fmt: skip


def test_runs_side_by_side_state_what_they_agree_on() -> None:
    mse, mel = Metric("mse", "MSE", "MSE"), Metric("mel", "mel", "mel")
    first = Run("x", {}, description=RunDescription("k", (mse,), ("mse",), references={"line": 1.0}))
    second = Run("y", {}, description=RunDescription("k", (mel, mse), ("mel",), references={"line": 2.0}))
    assert side_by_side([first, first], "both").description == first.description
    assert side_by_side([first, second], "both").description == RunDescription("k", (mse, mel), ("mse", "mel"))
    with pytest.raises(ValueError, match=r"several kinds \(x is k, z is other\): report on runs of one kind"):
        side_by_side([first, Run("z", {})], "both")


def test_a_system_of_two_runs_is_told_apart_by_the_runs_names() -> None:
    series = Series(np.array([1.0]), np.array([[0.1]]))
    first, second = Run("x", {"mse": {"a": series}}, 10), Run("y", {"mse": {"a": series, "b": series}}, 10)
    together = side_by_side([first, second], "both")
    assert together.systems == ["a (x)", "a (y)", "b"]
    assert together.updates_per_epoch == 10


def test_runs_of_one_name_cannot_hold_the_same_system() -> None:
    run = Run("x", {"mse": {"a": Series(np.array([1.0]), np.array([[0.1]]))}})
    with pytest.raises(ValueError, match="two runs named x hold mse of a: rename"):
        side_by_side([run, run], "both")


def test_a_row_whose_step_is_no_number_is_left_out_and_such_an_epoch_forgotten(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, "epoch,step,mse/a\n0,10,0.5\n1,nan,0.4\ninf,20,0.3\n2,30,0.2\n"))
    assert run.metrics["mse"]["a"].steps.tolist() == [10, 20, 30]
    assert run.updates_per_epoch == 10
