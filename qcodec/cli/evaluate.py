"""The command ``evaluate``."""

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qcodec.audio.folder import AUDIO_SUFFIXES
from qcodec.cli.file_batch import find_sources
from qcodec.cli.model import MODEL_HELP, add_device_arguments, open_model

if TYPE_CHECKING:
    from qcodec.evaluation.rate_mel import Measured

_DESCRIPTION = """\
Encode recordings with one or more models at several rates, decode them again, and write what that costs and gives to
OUTPUT/evaluation.csv and OUTPUT/rate_mel.png. Rates are those of the files after their headers, with
side information and checksums."""


def evaluate(arguments: Sequence[str]) -> None:
    """Measure rate and distortion of models.

    Raises:
        ValueError: For arguments, models or recordings that cannot be used; nothing is written then.
    """
    options = _parser().parse_args(arguments)
    files = find_sources(options.audio, AUDIO_SUFFIXES)
    if options.points < 1:
        raise ValueError(f"--points {options.points} measures nothing: give 1 or more")

    from tqdm import tqdm

    from qcodec.evaluation.rate_mel import evaluate as measure

    names = model_names(options.checkpoint)
    measured: dict[str, list[Measured]] = {}
    for checkpoint, name in zip(options.checkpoint, names, strict=True):
        bitstream = open_model(argparse.Namespace(**vars(options) | {"checkpoint": checkpoint}))
        levels = bitstream.levels(options.points)
        steps = tqdm(measure(bitstream, files, levels), name, len(files) * len(levels), disable=None)
        measured[name] = list(steps)
    _write(options.output, measured)
    print(f"{options.output / 'evaluation.csv'}, {options.output / 'rate_mel.png'}")


def model_names(checkpoints: Sequence[Path]) -> list[str]:
    """Return short names of models: the file's or run's own, or the whole path where two are alike.

    Example:
        >>> model_names([Path("runs/mste/checkpoints/last.ckpt"), Path("ste.pth")])
        ['mste', 'ste']
    """
    short = [
        p.parents[1].name if p.parent.name == "checkpoints" and len(p.parents) > 2 else p.stem for p in checkpoints
    ]
    return [name if short.count(name) == 1 else str(path) for name, path in zip(short, checkpoints, strict=True)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qcodec evaluate", description=_DESCRIPTION)
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="audio file, or folder of audio files")
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, help=f"of each model: {MODEL_HELP}")
    parser.add_argument("--output", type=Path, default=Path("evaluation"), help="folder of the results")
    parser.add_argument("--points", type=int, default=8, help="most rates per model (default: 8)")
    add_device_arguments(parser)
    return parser


def _write(output: Path, measured: dict[str, list["Measured"]]) -> None:
    import numpy as np

    from qcodec.atomic_write import atomic_write
    from qcodec.figures.rate_mel import rate_mel

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["model", "file", "level", "seconds", "kbps", "mel"])
    curves = {}
    for model, rows in measured.items():
        by_level: dict[float | None, list[tuple[float, float, float]]] = {}
        for row in rows:
            level = "" if row.level is None else f"{row.level:.6g}"
            writer.writerow([model, row.file, level, *(f"{x:.6g}" for x in (row.seconds, row.kbps, row.mel))])
            by_level.setdefault(row.level, []).append((row.seconds, row.kbps, row.mel))
        means = [np.average(np.array(each)[:, 1:], axis=0, weights=np.array(each)[:, 0]) for each in by_level.values()]
        kbps, mel = np.array(means).T
        curves[model] = (kbps, mel)
    count = len({row.file for rows in measured.values() for row in rows})
    recordings = "1 recording" if count == 1 else f"{count} recordings, means by duration"
    note = f"{recordings}; rates of real files without their headers, side information included"
    picture = io.BytesIO()
    rate_mel(curves, title="Rate and distortion", note=note).savefig(picture, format="png")
    for name, content in (
        ("evaluation.csv", table.getvalue().encode(errors="surrogateescape")),
        ("rate_mel.png", picture.getvalue()),
    ):
        with atomic_write(output / name) as file:
            file.write(content)
