import csv
import math
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from filelock import FileLock
from matplotlib.figure import Figure

from qcodec.cli import main
from qcodec.figures.drawn import Drawn
from qcodec.figures.style import single_column
from qcodec.report.write import FIGURES, drawn_figures, write_report
from qcodec.runs.read import Run, read_run
from qcodec.runs.schema import Bound, Metric, RunDescription, write_description
from qcodec.tasks.surrogate_description import METRICS, RANK

CONFIG = "data:\n  class_path: qcodec.data.synthetic.SyntheticBits\n  note: <&>\n"
BOUND = Bound((0.0, 30.0, 57.0), (0.88, 0.2, 0.0))
SURROGATE = RunDescription("surrogate", METRICS, RANK, BOUND, {"zero information": 0.88, "known rotation": 0.1})
Values = dict[str, dict[str, list[list[float]]]]  # metric -> system -> steps of seeds


def run_folder(
    folder: Path, values: Values, config: str | None = CONFIG, description: RunDescription = SURROGATE
) -> Path:
    rows: list[dict[str, float]] = []
    for metric, systems in values.items():
        for system, steps in systems.items():
            for epoch, seeds in enumerate(steps):
                index = {"epoch": epoch, "step": 100.0 * (epoch + 1)}
                rows.append(index | {f"{metric}/{system}": sum(seeds) / len(seeds)})
                rows.append(
                    {"step": index["step"]} | {f"by_seed/{metric}/{system}/{k}": v for k, v in enumerate(seeds)}
                )
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)
    if config:
        (folder / "config.yaml").write_text(config)
    write_description(folder, description)
    return folder


def surrogate(mse: dict[str, list[list[float]]]) -> Values:
    """Every metric of the surrogate task for systems with the given MSE."""

    def constant(value: float) -> dict[str, list[list[float]]]:
        return {system: [[value] * len(seeds) for seeds in steps] for system, steps in mse.items()}

    bits = constant(60.0)
    bits |= {"none": [[960.0] * len(seeds) for seeds in mse["none"]]} if "none" in mse else {}
    return {
        "mse": mse,
        "hard_mse": mse,
        "ma_e": constant(0.9),
        "bits_per_frame": bits,
        "effective_bits": constant(30.0),
    }


def rows_of(output: Path) -> dict[str, dict[str, str]]:
    with (output / "summary.csv").open(newline="") as file:
        return {row["system"]: row for row in csv.DictReader(file)}


def figures_of(output: Path) -> set[str]:
    return {path.stem for path in (output / "figures").glob("*.png")}


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_run_becomes_a_table_figures_and_a_page(tmp_path: Path) -> None:
    systems = {"none": [[0.5, 0.5], [0.001, 0.003]], "sq_ste_cl": [[0.6, 0.6], [0.2, 0.4]]}
    run = run_folder(tmp_path / "run", surrogate(systems))
    assert write_report([run], run) == run / "report.html"
    row = rows_of(run)["sq_ste_cl"]
    assert row["seeds"] == "2"
    assert row["updates"] == "200"
    assert float(row["mse_mean"]) == pytest.approx(0.3)
    assert float(row["mse_std"]) == pytest.approx(0.02**0.5)
    assert row["diverged_at"] == ""
    assert figures_of(run) == {"mse", "ma_e", "hard_mse", "figure3", "final", "rate_distortion"}


def test_one_seed_has_no_deviation_and_what_was_not_logged_is_empty(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", {"mse": {"na": [[0.5]]}}, config=None)
    write_report([run], tmp_path / "out")
    row = rows_of(tmp_path / "out")["na"]
    assert float(row["mse_mean"]) == 0.5
    assert {row[column] for column in ("mse_std", "hard_mse_mean", "ma_e_mean", "bits_per_frame_mean")} == {""}
    assert figures_of(tmp_path / "out") == {"mse"}


def test_a_diverged_system_is_reported_with_its_earliest_update(tmp_path: Path) -> None:
    values = surrogate({"na_det": [[0.5, 0.5], [math.nan, math.inf]], "na": [[0.5, 0.5], [0.1, 0.1]]})
    values["diverged_at"] = {"na_det": [[math.nan, 150.0], [130.0, 150.0]], "na": [[math.nan, math.nan]] * 2}
    run = run_folder(tmp_path / "run", values)
    page = write_report([run], run).read_text()
    rows = rows_of(run)
    assert rows["na_det"]["diverged_at"] == "130"
    assert rows["na_det"]["mse_mean"] == "nan"
    assert rows["na"]["diverged_at"] == ""
    assert re.findall(r'<tr class="diverged"><td>(\w+)', page) == ["na_det"]


def test_the_page_stands_alone_and_is_sorted_by_hard_mse(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", surrogate({"b": [[0.5], [0.3]], "a": [[0.5], [0.4]], "c": [[0.5], [0.1]]}))
    text = write_report([run], run).read_text()
    page = Page(text)
    assert page.open == []
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert len([source for source in page.sources if source[0] != "#"]) == len(figures_of(run))
    assert "script" not in page.tags
    assert page.tags.count("polyline") == 3
    assert re.findall(r"<tr><td>(\w)</td>", text) == ["c", "b", "a"]
    assert "note: &lt;&amp;&gt;" in text


def test_another_task_gets_one_figure_per_metric(tmp_path: Path) -> None:
    run = tmp_path / "codec"
    run.mkdir()
    (run / "metrics.csv").write_text("epoch,step,snr,ma_e,val loss\n0,10,5.5,0.9,-1\n1,20,5.1,0.9,\n2,30,4")
    (run / "config.yaml").write_text("data: {class_path: audio.Folder}")
    write_description(run, RunDescription("other"))
    page = write_report([run], run).read_text()
    assert figures_of(run) == {"snr", "ma_e", "val_loss"}
    assert rows_of(run)["codec"]["updates"] == "20"
    assert "1 incomplete line" in page


def test_systems_that_pass_floats_are_left_out_of_rate_and_distortion(tmp_path: Path) -> None:
    entropy = {"none": [[float("nan")]], "na": [[55.0]]}
    run = run_folder(tmp_path / "run", surrogate({"none": [[0.1]], "na": [[0.2]]}) | {"entropy_bits": entropy})
    assert "left out, as their codes have too many values for an entropy: none" in write_report([run], run).read_text()


def test_runs_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / parent / "run", surrogate({"na": [[0.2]]})) for parent in ("x", "y")]
    write_report(runs, tmp_path / "out")
    assert list(rows_of(tmp_path / "out")) == ["na (x/run)", "na (y/run)"]


@pytest.mark.parametrize("config", [None, "data: [", CONFIG, "just text"])
def test_the_bound_is_what_the_run_states_whatever_its_configuration_says(tmp_path: Path, config: str | None) -> None:
    stated = run_folder(tmp_path / "stated", {"mse": {"na": [[0.5]]}}, config)
    unknown = run_folder(tmp_path / "unknown", {"mse": {"na": [[0.5]]}}, config, replace(SURROGATE, bound=None))
    assert "right-hand axis" in write_report([stated], stated).read_text()
    assert "right-hand axis" not in write_report([unknown], unknown).read_text()


def test_runs_on_different_data_have_no_bound_together(tmp_path: Path) -> None:
    other = replace(SURROGATE, bound=Bound((0.0, 90.0), (0.9, 0.0)))
    runs = [
        run_folder(tmp_path / name, {"mse": {name: [[0.5]]}}, None, each)
        for name, each in (("a", SURROGATE), ("b", other))
    ]
    assert "right-hand axis" not in write_report(runs, tmp_path / "out").read_text()


def test_a_metric_that_the_report_does_not_know_is_drawn_named_and_ranked_as_its_run_states(tmp_path: Path) -> None:
    snr = Metric("snr", "Signal to noise ratio", "SNR", unit="dB", better="higher")
    values: Values = {"snr": {"low": [[3.0], [5.0]], "high": [[3.0], [9.0]]}, "extra": {"low": [[1.0]]}}
    run = run_folder(tmp_path / "run", values, None, RunDescription("another", (snr,), ("snr",)))
    text = write_report([run], run).read_text()
    assert figures_of(run) == {"snr", "extra"}
    assert re.findall(r"<tr><td>(\w+)</td>", text) == ["high", "low"]
    assert "<th>Signal to noise ratio (dB) ↑</th>" in text
    assert "SNR over training" in text
    assert float(rows_of(run)["high"]["snr_mean"]) == 9


def test_a_kind_of_report_is_a_list_of_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def histogram(run: Run) -> Iterator[Drawn]:
        yield Drawn("histogram", f"of {run.name}", Figure())

    monkeypatch.setitem(FIGURES, "another", (histogram,))
    run = run_folder(tmp_path / "run", {"mse": {"na": [[0.5]]}}, None, RunDescription("another"))
    assert "of run" in write_report([run], run).read_text()
    assert figures_of(run) == {"histogram"}


def test_names_and_captions_are_escaped(tmp_path: Path) -> None:
    title = "<script>alert(1)</script>"
    description = RunDescription("other", (Metric("mse", title, "<b>"),))
    run = run_folder(tmp_path / "run", {"mse": {"<i>": [[0.5], [0.4]]}}, None, description)
    page = Page(write_report([run], run).read_text())
    assert page.open == []
    assert not {"script", "i", "mse"} & set(page.tags)
    assert page.tags.count("b") == page.tags.count("figcaption")


def test_a_run_of_the_former_layout_is_refused_in_one_line(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "old", {"mse": {"na": [[0.5]]}})
    (run / "run.json").unlink()
    with pytest.raises(ValueError, match=r"old holds no run\.json.*run its recipe again$"):
        write_report([run], run)


@pytest.mark.parametrize("name", ["nowhere", "empty", "no_values"])
def test_a_run_that_cannot_be_read_leaves_nothing_written(tmp_path: Path, name: str) -> None:
    good = run_folder(tmp_path / "good", surrogate({"na": [[0.2]]}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_values").mkdir()
    (tmp_path / "no_values" / "metrics.csv").touch()
    write_description(tmp_path / "no_values", SURROGATE)
    with pytest.raises(ValueError, match=name):
        write_report([good, tmp_path / name], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name one or more run folders"):
        write_report([], tmp_path)


def test_a_failure_leaves_the_old_report_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_folder(tmp_path / "run", surrogate({"na": [[0.2]]}))
    before = write_report([run], run).read_bytes()

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk is full"):
        write_report([run], run)
    assert (run / "report.html").read_bytes() == before
    assert not [path for path in run.rglob(".*") if path.is_file()]


def test_a_link_among_the_pictures_is_not_followed(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", surrogate({"none": [[0.1]]}))
    (tmp_path / "private.png").write_bytes(b"private")
    (run / "pictures").mkdir()
    (run / "pictures/link.png").symlink_to(tmp_path / "private.png")
    assert "link" not in figures_of_page(write_report([run], run))


def figures_of_page(page: Path) -> str:
    return re.sub(r'src="[^"]*"', "", page.read_text())


def test_a_run_that_is_still_going_is_told_and_its_page_loads_itself_anew(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", surrogate({"a": [[0.5], [0.4]]}))
    page = write_report([folder], folder).read_text()
    assert "Still going" not in page
    assert "refresh" not in page
    with FileLock(folder / ".lock"):
        page = write_report([folder], folder).read_text()
    assert "<b>Still going:</b> run" in page
    assert 'http-equiv="refresh"' in page


def test_watching_writes_the_page_anew_until_the_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(tmp_path / "run", surrogate({"a": [[0.5], [0.4]]}))
    lock = FileLock(folder / ".lock")
    lock.acquire()
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        with (folder / "metrics.csv").open("a") as file:
            file.write((folder / "metrics.csv").read_text().splitlines()[-1] + "\n")
        if len(pauses) == 2:
            lock.release()

    monkeypatch.setattr("qcodec.cli.report.time.sleep", pause)
    assert main(["report", str(folder), "--watch"]) == 0
    assert len(pauses) == 2
    assert "Still going" not in (folder / "report.html").read_text()


@pytest.mark.parametrize(("width", "inches"), [("page", 7.1), ("column", 3.5)])
def test_every_figure_is_a_pdf_too_as_wide_as_one_asks_for(tmp_path: Path, width: str, inches: float) -> None:
    names = ["none", "sq_ste", "sq_ste_cl", *(f"other_{k}" for k in range(9))]
    for number in (3, 12):  # systems in one panel, and in panels of their own
        folder = run_folder(tmp_path / str(number), surrogate({name: [[0.5], [0.4]] for name in names[:number]}))
        assert main(["report", str(folder), "--pdf", width]) == 0
        pictures = {path.stem for path in (folder / "figures").glob("*.png")}
        found = list((folder / "figures").glob("*.pdf"))
        assert {path.stem for path in found} == pictures
        boxes = [re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", path.read_bytes()) for path in found]
        assert [round(float(box[1]) / 72, 2) if box else 0 for box in boxes] == [inches] * len(pictures)


def test_in_a_single_column_labels_stand_below_the_data_inside_the_figure(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", surrogate({"none": [[0.5], [0.4]], "sq_ste": [[0.5], [0.3]]}))
    with single_column():
        drawn = {each.name: each.figure for each in drawn_figures(read_run(folder))}
    for name in ("mse", "figure3", "figure6", "rate_distortion"):
        if name in drawn:
            words = {text.get_text().split("  ")[0]: text.get_position() for text in drawn[name].texts}
            lowest = min(axes.get_position().y0 for axes in drawn[name].axes)
            assert all(0 < words[system][1] < lowest for system in ("none", "sq_ste"))
    assert "mse" in drawn
    assert drawn_figures(read_run(folder)).__next__().figure.get_figwidth() == pytest.approx(7.1)


def test_the_page_says_how_a_run_was_made(tmp_path: Path) -> None:
    made = replace(SURROGATE, made_by={"command": "qcodec fit --config x", "machine": "a <fast> one"})
    folder = run_folder(tmp_path / "run", surrogate({"a": [[0.5], [0.4]]}), description=made)
    page = write_report([folder], folder).read_text()
    assert "<td>command</td><td>qcodec fit --config x</td>" in page
    assert "a &lt;fast&gt; one" in page
