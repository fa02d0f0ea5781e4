"""The command ``decode``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcodec.cli.jobs import Job, find_jobs, run_jobs
from qcodec.cli.model import add_model_arguments, open_model

if TYPE_CHECKING:
    from qcodec.bitstream.stream import Bitstream

_DESCRIPTION = """\
Decode .qc files to audio at the codec's rate, or at that of the recording. A folder keeps its structure. A file is
written under a temporary name and appears when it is whole."""


def decode(arguments: Sequence[str]) -> None:
    """Decode a file or a folder.

    Raises:
        ValueError: For arguments that cannot be used, or files that could not be decoded.
    """
    parser = argparse.ArgumentParser(prog="qcodec decode", description=_DESCRIPTION)
    parser.add_argument("input", type=Path, metavar="IN", help=".qc file, or folder of such files")
    parser.add_argument("output", type=Path, metavar="OUT", help="audio file such as out.wav, or folder")
    add_model_arguments(parser)
    parser.add_argument("--original-rate", action="store_true", help="resample to the rate of the recording")
    parser.add_argument("--subtype", help="sample format such as PCM_16, PCM_24 or FLOAT; the usual one if left out")
    options = parser.parse_args(arguments)
    jobs = find_jobs(options.input, options.output, (".qc",), ".wav")
    bitstream = open_model(options)

    def action(job: Job, bar: Any) -> str:
        return _decode(job, bar, bitstream, options.original_rate, options.subtype)

    run_jobs(jobs, action, _seconds(jobs), "decode")


def _decode(job: Job, bar: Any, bitstream: "Bitstream", original: bool, subtype: str | None) -> str:
    from qcodec.bitstream.audio_writer import write_audio

    with open(job.source, "rb") as file:
        decoded = bitstream.decode(file)
        header = decoded.header
        rate = header.original_rate if original else header.sample_rate

        def blocks() -> Any:
            for block in decoded.blocks:
                bar.update(block.shape[1] / header.sample_rate)
                yield block

        write_audio(job.target, blocks(), header, rate, subtype)
    return f"{job.target}: {header.seconds:.2f} s, {rate} Hz"


def _seconds(jobs: Sequence[Job]) -> float:
    from qcodec.bitstream.header import read_header

    total = 0.0
    for job in jobs:
        try:
            with open(job.source, "rb") as file:
                total += read_header(file).seconds
        except (ValueError, OSError):
            continue  # told when its turn comes
    return total
