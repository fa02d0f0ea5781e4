import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from qcodec.figures.data import Curve
from qcodec.figures.mel_and_embedding import mel_and_embedding
from qcodec.figures.style import slots
from qcodec.report.audio import SUMMARY_COLUMNS
from qcodec.report.write import write_report

UPDATES = np.array([50.0, 100.0, 150.0])


def audio_run(folder: Path, mel: list[float], diverged_at: str = "") -> Path:
    """Write what a run leaves that logs every 50 updates, and validates at its end unless it diverged."""
    folder.mkdir(parents=True)
    lines = ["epoch,step,mel,ma_e,kbps,diverged_at,val_mel"]
    lines += [f"0,{50 * (k + 1)},{value},{0.5 * (k + 1)},1.5,," for k, value in enumerate(mel)]
    lines += [f",{50 * len(mel)},,,,{diverged_at},"] if diverged_at else [f",{50 * len(mel)},,,,,{mel[-1] + 0.25}"]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def rows_of(output: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((output / "summary.csv").read_text().splitlines()))


def test_runs_of_audio_codecs_become_figure_8_and_a_summary(tmp_path: Path) -> None:
    good = audio_run(tmp_path / "small_mste" / "0", [6, 4, 3])
    lost = audio_run(tmp_path / "small_ste" / "0", [7, 12], diverged_at="93")
    page = write_report([good, lost], tmp_path / "out").read_text()
    first, second = rows_of(tmp_path / "out")
    assert tuple(first) == SUMMARY_COLUMNS
    assert (first["system"], first["updates"], first["mel"], first["val_mel"]) == ("small_mste", "150", "3", "3.25")
    assert (second["system"], second["updates"], second["val_mel"], second["diverged_at"]) == (
        "small_ste", "100", "", "93",
    )  # fmt: skip
    assert "diverged at update" in page
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == {
        "figure8", "mel", "ma_e", "kbps", "val_mel",
    }  # fmt: skip


def test_numbered_runs_of_one_recipe_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    write_report([audio_run(tmp_path / "small_mste" / number, [6, 4]) for number in "01"], tmp_path / "out")
    assert [row["system"] for row in rows_of(tmp_path / "out")] == ["small_mste/0", "small_mste/1"]


def test_a_surrogates_run_has_no_place_among_those_of_audio(tmp_path: Path) -> None:
    audio = audio_run(tmp_path / "codec", [6, 4])
    (tmp_path / "surrogate").mkdir()
    (tmp_path / "surrogate" / "metrics.csv").write_text("epoch,step,mse/na\n0,10,0.5\n")
    with pytest.raises(ValueError, match="only codec of the runs trained on audio: report on runs of one kind"):
        write_report([audio, tmp_path / "surrogate"], tmp_path / "out")


def test_a_stopped_run_ends_in_a_cross_and_leaves_the_axis_to_the_others() -> None:
    lost = Curve(UPDATES[:2], np.array([[7.0, 40.0]]), np.array([93.0]))
    mel = {"small_ste": lost, "small_mste": Curve(UPDATES, np.array([[6.0, 4.0, 3.0]]))}
    ma_e = {"small_ste": lost, "small_mste": Curve(UPDATES, np.array([[1.0, 1.1, 1.1]]))}
    figure = mel_and_embedding(mel, ma_e, title="T")
    above, below = figure.axes
    assert (above.get_ylabel(), above.get_yscale()) == ("mel loss", "linear")
    assert (below.get_ylabel(), below.get_yscale()) == ("MA-E", "log")
    assert above.get_ylim()[1] < 7 < 40 < below.get_ylim()[1]
    for axes in (above, below):
        crosses = [line for line in axes.lines if line.get_marker() == "X"]
        assert [np.asarray(line.get_xdata()).tolist() for line in crosses] == [[100.0]]
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert texts.count("diverged at update 93") == 2
    assert "update" in texts


def test_a_run_that_logged_no_embedding_has_one_panel() -> None:
    figure = mel_and_embedding({"a": Curve(UPDATES, np.array([[6.0, np.nan, 3.0]]))}, {}, title="T")
    assert [axes.get_ylabel() for axes in figure.axes] == ["mel loss"]


def test_runs_of_no_numbers_are_drawn_and_of_nothing_refused() -> None:
    lost = Curve(UPDATES, np.full((1, 3), np.nan), np.array([3.0]))
    assert mel_and_embedding({"a": lost}, {"a": lost}, title="T").axes
    with pytest.raises(ValueError, match="no run to draw in the figure 'T'"):
        mel_and_embedding({}, {}, title="T")


def test_a_run_named_by_its_estimator_has_the_colour_of_the_surrogates_system() -> None:
    systems = ["small_ste", "16khz_mste_cl", "other", "44khz_mste_cl"]
    chosen = slots(systems)
    assert chosen["small_ste"] == slots(["sq_ste"])["sq_ste"]
    assert chosen["16khz_mste_cl"] == slots(["sq_mste_cl"])["sq_mste_cl"]
    assert len({look[0] for look in chosen.values()}) == len(systems)
