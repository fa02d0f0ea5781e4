"""The command ``encode``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcodec.cli.jobs import AUDIO, Job, find_jobs, run_jobs
from qcodec.cli.model import add_model_arguments, open_model

if TYPE_CHECKING:
    from qcodec.bitstream.stream import Bitstream

_DESCRIPTION = """\
Encode audio of any length, rate and number of channels to .qc files. A folder keeps its structure. A file is written
under a temporary name and appears when it is whole."""


def encode(arguments: Sequence[str]) -> None:
    """Encode a file or a folder.

    Raises:
        ValueError: For arguments that cannot be used, or files that could not be encoded.
    """
    parser = argparse.ArgumentParser(prog="qcodec encode", description=_DESCRIPTION)
    parser.add_argument("input", type=Path, metavar="IN", help="audio file, or folder of audio files")
    parser.add_argument("output", type=Path, metavar="OUT", help="file that ends in .qc, or folder")
    add_model_arguments(parser)
    parser.add_argument("--level", type=float, help="rate dial: number of codebooks, or level of a variable bitrate")
    options = parser.parse_args(arguments)
    jobs = find_jobs(options.input, options.output, AUDIO, ".qc")
    bitstream = open_model(options.checkpoint, options.device)
    run_jobs(jobs, lambda job, bar: _encode(job, bar, bitstream, options.level), _seconds(jobs), "encode")


def _encode(job: Job, bar: Any, bitstream: "Bitstream", level: float | None) -> str:
    from qcodec.bitstream.recording import open_recording, watched
    from qcodec.bitstream.replacing import replacing

    sample_rate = bitstream.codec.sample_rate
    recording = open_recording(job.source, sample_rate)
    with replacing(job.target) as file:
        header = bitstream.encode(watched(recording, lambda n: bar.update(n / sample_rate)), file, level)
        kbps = file.tell() * 8 / header.seconds / 1000
    return f"{job.target}: {header.seconds:.2f} s, {kbps:.2f} kbps"


def _seconds(jobs: Sequence[Job]) -> float:
    import soundfile

    total = 0.0
    for job in jobs:
        try:
            total += soundfile.info(job.source).duration
        except (soundfile.LibsndfileError, OSError):
            continue  # told when its turn comes
    return total
