"""The command ``evaluate``."""

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcodec.audio.folder import AUDIO_SUFFIXES
from qcodec.cli.file_batch import find_sources
from qcodec.cli.model import MODEL_HELP, add_device_arguments, open_model

if TYPE_CHECKING:
    from qcodec.evaluation.quality import QualityMetric
    from qcodec.evaluation.rate_mel import Measured

_DESCRIPTION = """\
Encode recordings with one or more models at several rates, decode them again, and write what that costs and gives to
OUTPUT/evaluation.csv and OUTPUT/rate_mel.png. Rates are those of the files after their headers, with
side information and checksums; file_kbps is of the whole file. Delay and length are aligned first. --metrics all adds
to the mel distance: STFT distance, SI-SDR, PESQ, STOI, ViSQOL and Zimtohrli (the extra `metrics`); an empty cell has
its reason under notes. --anchors adds codecs of libsndfile at the first model's rate."""


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

    from qcodec.evaluation.anchors import ANCHORS, anchor
    from qcodec.evaluation.rate_mel import evaluate as measure

    metrics = _chosen(options.metrics)
    unknown = [name for name in options.anchors if name not in ANCHORS]
    if unknown:
        raise ValueError(f"--anchors {unknown[0]}: choose of {', '.join(ANCHORS)}")
    names = model_names(options.checkpoint)
    measured: dict[str, list[Measured]] = {}
    rate = 0
    for checkpoint, name in zip(options.checkpoint, names, strict=True):
        bitstream = open_model(argparse.Namespace(**vars(options) | {"checkpoint": checkpoint}))
        levels = bitstream.levels(options.points)
        steps = measure(bitstream, files, levels, metrics)
        measured[name] = list(tqdm(steps, name, len(files) * len(levels), disable=None))
        rate = rate or bitstream.codec.sample_rate
    for name in options.anchors:
        steps = anchor(name, files, rate, metrics)
        measured[name] = list(tqdm(steps, name, len(files) * len(ANCHORS[name][2]), disable=None))
    print(", ".join(str(path) for path in _write(options.output, measured, metrics)))


def _chosen(names: Sequence[str]) -> "list[QualityMetric]":
    from qcodec.evaluation.quality import METRICS

    known = {metric.name: metric for metric in METRICS}
    for name in names:
        if name not in known and name != "all":
            raise ValueError(f"--metrics {name}: choose of all, {', '.join(known)}")
    return [metric for name, metric in known.items() if name in names or "all" in names or name == "mel"]


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
    parser.add_argument("--metrics", nargs="+", default=["mel"], help="names of metrics, or all (default: mel)")
    parser.add_argument("--anchors", nargs="+", default=[], help="opus, vorbis, mp3, flac, beside the models")
    add_device_arguments(parser)
    return parser


def _write(output: Path, measured: "dict[str, list[Measured]]", metrics: "Sequence[QualityMetric]") -> list[Path]:
    import numpy as np

    from qcodec.atomic_write import atomic_write
    from qcodec.figures.rate_mel import rate_mel

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    columns = [metric.name for metric in metrics]
    writer.writerow(["model", "file", "level", "seconds", "kbps", "file_kbps", "delay", *columns, "notes"])
    curves: dict[str, tuple[Any, ...]] = {}
    for model, rows in measured.items():
        by_level: dict[float | None, list[tuple[float, float, float]]] = {}
        for row in rows:
            level = "" if row.level is None else f"{row.level:.6g}"
            values = [f"{row.quality.values[name]:.6g}" if name in row.quality.values else "" for name in columns]
            notes = "; ".join(f"{name} {reason}" for name, reason in row.quality.notes.items())
            numbers = [f"{x:.6g}" for x in (row.seconds, row.kbps, row.file_kbps)]
            writer.writerow([model, row.file, level, *numbers, row.quality.delay, *values, notes])
            if (mel := row.quality.values.get("mel")) is not None:
                by_level.setdefault(row.level, []).append((row.seconds, row.kbps, mel))
        means = [np.average(np.array(each)[:, 1:], axis=0, weights=np.array(each)[:, 0]) for each in by_level.values()]
        curves |= {model: tuple(np.array(means).T)} if means else {}
    count = len({row.file for rows in measured.values() for row in rows})
    recordings = "1 recording" if count == 1 else f"{count} recordings, means by duration"
    note = f"{recordings}; rates of real files without their headers, side information included"
    files = {"evaluation.csv": table.getvalue().encode(errors="surrogateescape")}
    if curves:
        picture = io.BytesIO()
        rate_mel(curves, title="Rate and distortion", note=note).savefig(picture, format="png")
        files["rate_mel.png"] = picture.getvalue()
    for name, content in files.items():
        with atomic_write(output / name) as file:
            file.write(content)
    return [output / name for name in files]
