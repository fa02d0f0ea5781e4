"""The command ``decode``."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcodec.cli.file_batch import CODES, Job, find_jobs, run_jobs
from qcodec.cli.model import add_model_arguments, open_model

if TYPE_CHECKING:
    from torch import Tensor

    from qcodec.bitstream.bitstream import Bitstream

_DESCRIPTION = """\
Decode .qc files, and .dac files of the program `dac`, to audio at the codec's rate or that of the recording. A folder
keeps its structure. A file is written under a temporary name and appears when it is whole."""


def decode(arguments: Sequence[str]) -> None:
    """Decode a file or a folder.

    Raises:
        ValueError: For arguments that cannot be used, or files that could not be decoded.
    """
    parser = argparse.ArgumentParser(prog="qcodec decode", description=_DESCRIPTION)
    parser.add_argument("input", type=Path, metavar="IN", help=".qc or .dac file, or folder of such files")
    parser.add_argument("output", type=Path, metavar="OUT", help="audio file such as out.wav, or folder")
    add_model_arguments(parser)
    parser.add_argument("--original-rate", action="store_true", help="resample to the rate of the recording")
    parser.add_argument("--subtype", help="sample format such as PCM_16, PCM_24 or FLOAT; the usual one if left out")
    options = parser.parse_args(arguments)
    jobs = find_jobs(options.input, options.output, CODES, ".wav")
    _spare_neighbours(jobs, options.output)

    from qcodec.bitstream.out_of_memory import fitting_memory

    bitstream = open_model(options)

    def action(job: Job, bar: Any) -> str:
        with fitting_memory(bitstream, job.source):
            try:
                return _decode(job, bar, bitstream, options)
            except ValueError as error:
                raise ValueError(f"{job.source} {error}") from None

    run_jobs(jobs, action, sum(_seconds(job) for job in jobs), "decode")


def _spare_neighbours(jobs: Sequence[Job], output: Path) -> None:
    """Raise ``ValueError`` where a name that was not chosen would replace a file beside the codes."""
    for job in jobs:
        if output.is_dir() and job.target.exists() and job.target.parent.resolve() == job.source.parent.resolve():
            raise ValueError(f"{job.target} lies beside {job.source} and would be replaced: give another folder")


def _decode(job: Job, bar: Any, bitstream: "Bitstream", options: argparse.Namespace) -> str:
    from qcodec.audio.writing import AudioFormat, write_audio
    from qcodec.bitstream.dac.convert import decode_dac
    from qcodec.bitstream.dac.format import read_dac
    from qcodec.bitstream.decoder import Decoder

    rate = bitstream.codec.sample_rate
    with open(job.source, "rb") as file:
        blocks: Iterable[Tensor]
        if job.source.suffix.lower() == ".dac":
            content = read_dac(file)
            blocks = [decode_dac(bitstream.codec, content)]
            channels, length, original = content.channels, blocks[0].shape[1], content.sample_rate
            original_length = content.original_length
        else:
            decoded = Decoder(bitstream).decode(file)
            header, blocks = decoded.header, decoded.blocks
            channels, length, original = header.channels, header.length, header.original_rate
            original_length = header.original_length
        wanted = AudioFormat(rate, channels, length, options.subtype)
        if options.original_rate:
            wanted = AudioFormat(original, channels, original_length, options.subtype)
        write_audio(job.target, _shown(blocks, bar, rate), rate, wanted)
    return f"{job.target}: {wanted.length / wanted.sample_rate:.2f} s, {wanted.sample_rate} Hz"


def _shown(blocks: Iterable["Tensor"], bar: Any, rate: int) -> Iterator["Tensor"]:
    for block in blocks:
        bar.update(block.shape[1] / rate)
        yield block


def _seconds(job: Job) -> float:
    """Return the duration of a file in seconds, 0 for one that cannot be read, which is reported when it is decoded."""
    from qcodec.bitstream.dac.format import read_dac
    from qcodec.bitstream.header import read_header

    with suppress(ValueError, OSError), open(job.source, "rb") as file:
        if job.source.suffix.lower() == ".dac":
            content = read_dac(file)
            return content.original_length / content.sample_rate
        return read_header(file).seconds
    return 0.0
