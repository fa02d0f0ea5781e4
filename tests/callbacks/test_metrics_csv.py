import csv

import pytest

from qcodec.callbacks.metrics_csv import MetricsCSV


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_step_has_one_row_however_many_calls_gave_its_values(tmp_path):
    log = MetricsCSV(tmp_path)
    log.log_metrics({"epoch": 0, "mse": 0.5}, step=10)
    log.log_metrics({"ma_e": 1.5}, step=10)
    log.log_metrics({"mse": 0.4}, step=10)
    log.log_metrics({"epoch": 1, "mse": 0.25, "ma_e": 2.0}, step=20)
    assert rows(tmp_path / "metrics.csv") == [
        {"epoch": "0", "step": "10", "mse": "0.4", "ma_e": "1.5"},
        {"epoch": "1", "step": "20", "mse": "0.25", "ma_e": "2.0"},
    ]


def test_a_metric_that_comes_late_gets_a_column_and_empty_cells_before(tmp_path):
    log = MetricsCSV(tmp_path)
    log.log_metrics({"mse": 0.5}, step=10)
    log.log_metrics({"mse": 0.4, "mel": 3.0}, step=20)
    assert [(row["mse"], row["mel"]) for row in rows(tmp_path / "metrics.csv")] == [("0.5", ""), ("0.4", "3.0")]


def test_the_file_is_whole_after_every_call(tmp_path):
    log = MetricsCSV(tmp_path)
    for step in range(1, 5):
        log.log_metrics({"mse": 1 / step}, step=step)
        assert len(rows(tmp_path / "metrics.csv")) == step


def test_a_resumed_run_keeps_earlier_rows_and_replaces_those_it_logs_anew(tmp_path):
    first = MetricsCSV(tmp_path)
    for step in (10, 20, 30):
        first.log_metrics({"mse": float(step)}, step=step)
    second = MetricsCSV(tmp_path)
    second.log_metrics({"mse": 0.5, "new": 1.0}, step=20)
    assert [(row["step"], row["mse"], row["new"]) for row in rows(tmp_path / "metrics.csv")] == [
        ("10", "10.0", ""),
        ("20", "0.5", "1.0"),
    ]


def test_a_table_that_cannot_be_written_anew_stays_as_it_was(tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError("the disk is full")

    log = MetricsCSV(tmp_path)
    log.log_metrics({"mse": 0.5}, step=10)
    before = (tmp_path / "metrics.csv").read_bytes()
    monkeypatch.setattr("qcodec.atomic_write.os.replace", refuse)
    with pytest.raises(OSError, match="the disk is full"):
        log.log_metrics({"mel": 3.0}, step=20)
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_a_line_that_a_crash_cut_off_is_dropped_on_resume(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,mse\n0,10,0.5\n1,20,0.", encoding="utf-8")
    MetricsCSV(tmp_path).log_metrics({"mse": 0.25}, step=30)
    assert [(row["step"], row["mse"]) for row in rows(path)] == [("10", "0.5"), ("30", "0.25")]


def test_values_come_back_exactly_also_nan_and_infinity(tmp_path):
    values = {"a": 0.1 + 0.2, "b": float("nan"), "c": float("inf"), "d": 1e-310}
    MetricsCSV(tmp_path).log_metrics(values, step=1)
    (row,) = rows(tmp_path / "metrics.csv")
    assert [repr(float(row[name])) for name in values] == [repr(value) for value in values.values()]


def test_what_is_measured_has_a_row_for_each_checkpoint(tmp_path):
    for update, value in ((400, 1.0), (200, 2.0), (400, 3.0)):
        table = MetricsCSV(tmp_path, "test.csv", measured=update)
        table.log_metrics({"mse": value}, step=0)
        table.log_metrics({"ma_e": value + 1}, step=0)
    rows = list(csv.DictReader((tmp_path / "test.csv").read_text().splitlines()))
    assert [(row["step"], row["mse"], row["ma_e"]) for row in rows] == [("200", "2.0", "3.0"), ("400", "3.0", "4.0")]
