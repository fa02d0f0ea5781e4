"""Comparisons of two systems: their statistics against closed forms and other implementations, and their sentence."""

import math

import numpy as np
import pytest
from scipy.stats import beta
from test_report import run_folder, surrogate

from qcodec.cli import main
from qcodec.report.comparison import Share, compare, paired
from qcodec.runs.read import read_run

RNG = np.random.default_rng


def test_the_interval_of_a_share_is_exact():
    low, high = Share(9, 10).interval
    assert low == pytest.approx(beta.ppf(0.025, 9, 2))
    assert high == pytest.approx(beta.ppf(0.975, 10, 1))
    assert Share(0, 20).interval == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert Share(20, 20).interval == pytest.approx((0.025 ** (1 / 20), 1))


def test_the_p_value_counts_all_changes_of_sign():
    found = paired(np.array([1.0, 2.0, 3.0, 1.0]), np.array([2.0, 8.0, 4.0, 1.5]))
    assert found.p == pytest.approx(2 / 16)  # all ratios on one side: that and its mirror image among 2^4
    difference = np.log(np.array([1.0, 2.0, 3.0, 6.0]) / np.array([2.0, 8.0, 4.0, 1.5]))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1)
    as_far = np.abs(difference @ signs) >= abs(difference.sum()) - 1e-12
    assert paired(np.exp(difference), np.ones(4)).p == pytest.approx(as_far.mean())


def test_the_interval_holds_the_true_median_as_often_as_it_says():
    held = 0
    for seed in range(100):
        ratios = np.exp(RNG(seed).normal(0.5, 1, 20))
        found = paired(ratios, np.ones(20))
        assert found.ratio == pytest.approx(np.exp(np.median(np.log(ratios))))
        held += found.low <= math.exp(0.5) <= found.high
    assert held >= 88  # 95 of 100 are expected; 88 or more come with a probability of 0.998


def test_where_both_solve_the_task_no_ratio_is_left_and_a_lost_seed_is_worst():
    found = paired(np.array([1e-9, 1e-12, 5e-5]), np.array([1e-5, 1e-6, 1e-14]), floor=1e-4)
    assert (found.ratio, found.low, found.high, found.p) == (1, 1, 1, 1)
    assert [share.count for share in found.solved] == [3, 3]
    found = paired(np.array([1e-9, 1e-9]), np.array([math.nan, 1e-9]), floor=1e-4)
    assert [share.count for share in found.solved] == [2, 1]
    assert found.ratio == pytest.approx(1e-2)  # the middle of 1e-4 and 1


def test_several_p_values_are_corrected_by_holm(tmp_path):
    values = {"a": [1, 1.1, 1.2, 1.3, 1.4], "b": [2, 2, 2, 2, 2.0], "c": [1.3, 0.9, 1.5, 1.2, 1.6], "d": [9.0] * 5}
    run = read_run(run_folder(tmp_path / "run", surrogate({name: [v] for name, v in values.items()})))
    alone = [compare([run], [pair])[0].result.p for pair in ("ab", "ac", "ad")]
    together = [each.result.p for each in compare([run], ["ab", "ac", "ad"])]
    assert alone == pytest.approx([2 / 32, alone[1], 2 / 32])
    assert together == pytest.approx([3 * 2 / 32, max(3 * 2 / 32, alone[1]), 3 * 2 / 32])


def test_the_report_says_how_two_systems_compare(tmp_path, capsys):
    systems = {"solver": [[0.5] * 3, [1e-9, 1e-8, 0.03]], "stuck": [[0.5] * 3, [0.13, 0.12, 0.15]]}
    run = run_folder(tmp_path / "run", surrogate(systems))
    assert main(["report", str(run), "--compare", "solver", "stuck"]) == 0
    sentence = (
        "solver against stuck, MSE of the hard quantizer, 3 seeds (0 to 2): median ratio 8.3e-4 (95 % interval 7.7e-4 "
        "to 0.2), p = 0.25; below 0.0001 end 2 of 3 (95 % interval 0.09 to 0.99) and 0 of 3 (95 % interval 0.00 to "
        "0.71)."
    )
    assert sentence in capsys.readouterr().out
    page = (run / "report.html").read_text()
    assert (
        "<td>8.3e-4</td><td>7.7e-4 to 0.2</td><td>0.25</td><td>2 of 3 (0.09 to 0.99) and 0 of 3 (0.00 to 0.71)</td>"
        in page
    )
    assert "was chosen by these very values" not in page
    assert (run / "comparisons.txt").read_text() == sentence + "\n"


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (["none", "one"], "there is no system 'one' to compare: there are none, na"),
        (["none", "na"], "1 seeds in common are too few"),
    ],
)
def test_what_cannot_be_compared_is_said_and_the_old_report_stays(tmp_path, capsys, pair, message):
    run = run_folder(tmp_path / "run", surrogate({"none": [[0.1]], "na": [[0.2]]}))
    (run / "report.html").write_text("old")
    assert main(["report", str(run), "--compare", *pair]) != 0
    assert message in capsys.readouterr().err
    assert (run / "report.html").read_text() == "old"


def test_without_a_pair_each_is_held_against_the_first_of_the_table(tmp_path):
    systems = {"stuck": [[0.13, 0.12, 0.15]], "solver": [[1e-9, 1e-8, 0.03]], "half": [[0.1, 0.02, 0.05]]}
    run = run_folder(tmp_path / "run", surrogate(systems))
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert page.count("<td>solver</td><td>MSE of the hard quantizer</td>") == 2
    assert "was chosen by these very values" in page
    assert not (run / "comparisons.txt").exists()


def test_the_first_is_held_against_those_alone_that_share_seeds_with_it(tmp_path):
    run = run_folder(tmp_path / "run", surrogate({"one": [[0.1]], "two": [[0.2]]}))
    assert main(["report", str(run)]) == 0
    assert "Comparisons" not in (run / "report.html").read_text()
