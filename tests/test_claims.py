"""What the README promises of the first recipe, at full length."""

import csv

import pytest

from qcodec.cli import main


@pytest.mark.slow
def test_the_quickstart_and_its_report_show_ste_diverging_where_mste_does_not(tmp_path):
    assert main(["fit", "--config", "surrogate/quickstart", "--run_dir", "R"]) == 0
    assert main(["report", "R"]) == 0
    table = list(csv.DictReader((tmp_path / "R/summary.csv").read_text(encoding="utf-8").splitlines()))
    rows = {row["system"]: row for row in table}
    assert float(rows["sq_ste"]["ma_e_mean"]) > 20 * float(rows["sq_mste"]["ma_e_mean"])
    assert float(rows["sq_ste"]["diverged_at"]) < 10_000
    assert rows["sq_mste"]["diverged_at"] == rows["sq_ste_cl"]["diverged_at"] == ""
    assert (tmp_path / "R/report.html").stat().st_size > 100_000
    assert (tmp_path / "R/figures/mse.png").is_file()
