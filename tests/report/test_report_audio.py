import csv
from pathlib import Path

import pytest

from qcodec.report.write import write_report
from qcodec.runs.schema import Metric, RunDescription, write_description

AUDIO = RunDescription(
    "audio",
    (
        Metric("val_mel", "Mel loss on held-out clips", "mel loss", better="lower"),
        Metric("mel", "Mel loss in training", "mel loss", better="lower"),
        Metric("ma_e", "Mean absolute embedding", "MA-E"),
    ),
    ("val_mel", "mel"),
)


def audio_run(folder: Path, mel: list[float], diverged_at: str = "") -> Path:
    """Write what a run leaves that logs every 50 updates, and validates at its end unless it diverged."""
    folder.mkdir(parents=True)
    lines = ["epoch,step,mel,ma_e,kbps,diverged_at,val_mel"]
    lines += [f"0,{50 * (k + 1)},{value},{0.5 * (k + 1)},1.5,," for k, value in enumerate(mel)]
    lines += [f",{50 * len(mel)},,,,{diverged_at},"] if diverged_at else [f",{50 * len(mel)},,,,,{mel[-1] + 0.25}"]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    write_description(folder, AUDIO)
    return folder


def rows_of(output: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((output / "summary.csv").read_text().splitlines()))


def test_runs_of_audio_codecs_become_figure_8_and_a_summary(tmp_path: Path) -> None:
    good = audio_run(tmp_path / "small_mste" / "0", [6, 4, 3])
    lost = audio_run(tmp_path / "small_ste" / "0", [7, 12], diverged_at="93")
    page = write_report([good, lost], tmp_path / "out").read_text()
    first, second = rows_of(tmp_path / "out")
    columns = ("system", "updates", "mel_mean", "val_mel_mean", "kbps_mean", "diverged_at")
    assert [first[column] for column in columns] == ["small_mste", "150", "3", "3.25", "1.5", ""]
    assert [second[column] for column in columns] == ["small_ste", "100", "12", "", "1.5", "93"]
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
    write_description(tmp_path / "surrogate", RunDescription("surrogate"))
    (tmp_path / "surrogate" / "metrics.csv").write_text("epoch,step,mse/na\n0,10,0.5\n")
    with pytest.raises(ValueError, match=r"\(codec is audio, surrogate is surrogate\): report on runs of one kind"):
        write_report([audio, tmp_path / "surrogate"], tmp_path / "out")
