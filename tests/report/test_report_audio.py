import csv
import re
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


def test_surrogate_and_audio_codecs_have_a_section_each(tmp_path: Path) -> None:
    audio = audio_run(tmp_path / "codec", [6, 4])
    (tmp_path / "toy").mkdir()
    write_description(tmp_path / "toy", RunDescription("surrogate"))
    (tmp_path / "toy" / "metrics.csv").write_text("epoch,step,mse/na\n0,10,0.5\n")
    page = write_report([audio, tmp_path / "toy"], tmp_path / "out").read_text()
    assert '<h2 id="table1">Table: audio</h2>' in page
    assert '<h2 id="figures2">Figures: surrogate</h2>' in page
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert {
        "audio_summary.csv",
        "surrogate_summary.csv",
        "figures/audio_mel.png",
        "figures/surrogate_mse.png",
    } <= written
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links == set(re.findall(r' id="([^"]+)"', page)) & links
    assert {"audio_mel", "surrogate_mse"} <= links
    with pytest.raises(ValueError, match="codec and na are of different kinds"):
        write_report([audio, tmp_path / "toy"], tmp_path / "out", [["codec", "na"]])
