"""The command ``evaluate``."""

import argparse
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcodec.audio.folder import AUDIO_SUFFIXES
from qcodec.cli.file_batch import find_sources
from qcodec.cli.model import MODEL_HELP, add_device_arguments

if TYPE_CHECKING:
    from qcodec.evaluation.table import Row

_DESCRIPTION = """\
Encode recordings with one or more codecs at several rates, decode them again, and write what that costs and gives to
OUTPUT/evaluation.csv and OUTPUT/rate_mel.png. Rates are those of the files after their headers, with
side information and checksums; file_kbps is of the whole file, nominal_kbps of the codes at a fixed length each. Delay
and length are aligned first. --metrics all adds to the mel distance: STFT distance, SI-SDR, PESQ, STOI, ViSQOL,
Zimtohrli, log-WMSE, DNSMOS and PLCMOS (the extra `metrics`); an empty cell has its reason under notes. --codecs adds
stock DAC, EnCodec, SNAC or a qcodec.FileCodec of your own, --anchors codecs of libsndfile at the first codec's rate."""


def evaluate(arguments: Sequence[str]) -> None:
    """Measure rate and distortion of codecs.

    Raises:
        ValueError: For arguments, models or recordings that cannot be used.
    """
    options = _parser().parse_args(arguments)
    files = find_sources(options.audio, AUDIO_SUFFIXES)
    if options.points < 1:
        raise ValueError(f"--points {options.points} measures nothing: give 1 or more")
    if options.workers < 0:
        raise ValueError(f"--workers {options.workers}: give a number of processes, or 0 for this one alone")

    from tqdm import tqdm

    from qcodec.cli.evaluated import sources
    from qcodec.evaluation.table import Table
    from qcodec.evaluation.work import chosen, measured

    metrics = chosen(options.metrics)
    wanted = sources(options.checkpoint, options.codecs, options.anchors)
    table, rate = Table(options.output / "evaluation.csv", [metric.name for metric in metrics], options.resume), 0
    for source in wanted:
        codec = source.open(options, rate)
        if not rate:
            rate = codec.sample_rate
            for anchor in (other for other in wanted if other.kind == "anchor"):
                anchor.open(options, rate)  # which refuses a rate that it has not, before anything is measured
        levels = list(codec.levels(options.points))
        table.identify(source.name, source.identity(codec))
        tasks = [(path, missing) for path in files if (missing := table.misses(source.name, path, levels))]
        count = sum(len(missing) for _, missing in tasks)
        steps = measured(codec, partial(source.open, options, rate), tasks, options.metrics, options.workers)
        for found in tqdm(steps, source.name, count, disable=None):
            table.add(source.name, found)
    table.close()
    print(", ".join(str(path) for path in (table.path, *_draw(options.output, table.rows))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qcodec evaluate", description=_DESCRIPTION)
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="audio file, or folder of audio files")
    parser.add_argument("--checkpoint", type=Path, nargs="+", default=[], help=f"of each model: {MODEL_HELP}")
    parser.add_argument(
        "--codecs", nargs="+", default=[], metavar="CODEC",
        help="dac=WEIGHTS, encodec=FOLDER, snac=FOLDER, or my_module.MyCodec[=ARGUMENT], whose code then runs",
    )  # fmt: skip
    parser.add_argument("--anchors", nargs="+", default=[], help="opus, vorbis, mp3, flac, beside the codecs")
    parser.add_argument("--output", type=Path, default=Path("evaluation"), help="folder of the results")
    parser.add_argument("--points", type=int, default=8, help="most rates per model (default: 8)")
    parser.add_argument("--metrics", nargs="+", default=["mel"], help="names of metrics, or all (default: mel)")
    parser.add_argument("--workers", type=int, default=0, help="processes that measure at once (default: this one)")
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows that OUTPUT has, and measure what is missing"
    )
    add_device_arguments(parser)
    return parser


def _draw(output: Path, rows: "Sequence[Row]") -> list[Path]:
    """Draw the means of each codec at each level, weighed by duration, where there are any."""
    import numpy as np

    from qcodec.atomic_write import atomic_write
    from qcodec.figures.rate_mel import rate_mel

    curves: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    for row in (row for row in rows if row["mel"]):
        numbers = tuple(float(row[name]) for name in ("seconds", "kbps", "mel"))
        curves.setdefault(row["model"], {}).setdefault(row["level"], []).append(numbers)
    means: dict[str, Any] = {}
    for model, by_level in curves.items():
        whole = [np.array(numbers) for numbers in by_level.values()]
        means[model] = tuple(np.array([np.average(each[:, 1:], axis=0, weights=each[:, 0]) for each in whole]).T)
    if not means:
        return []
    count = len({row["file"] for row in rows})
    recordings = "1 recording" if count == 1 else f"{count} recordings, means by duration"
    note = f"{recordings}; rates of real files without their headers, side information included"
    picture = io.BytesIO()
    rate_mel(means, title="Rate and distortion", note=note).savefig(picture, format="png")
    with atomic_write(output / "rate_mel.png") as file:
        file.write(picture.getvalue())
    return [output / "rate_mel.png"]
