"""The command ``encode``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcodec.audio.folder import AUDIO_SUFFIXES
from qcodec.cli.file_batch import CODES, Job, audio_seconds, find_jobs, run_jobs
from qcodec.cli.model import add_model_arguments, open_model

if TYPE_CHECKING:
    from qcodec.audio.reading import Recording
    from qcodec.bitstream.encoder import Encoder
    from qcodec.bitstream.settings import Settings

_DESCRIPTION = """\
Encode audio of any length, rate and number of channels to .qc files, or to .dac files of the program `dac`. A folder
keeps its structure. A file is written under a temporary name and appears when it is whole; a .qc file that is there
already, sound, newer than its recording and the checkpoint, and of the same model and settings is left as it is, so
that an interrupted command can be given again."""


def encode(arguments: Sequence[str]) -> None:
    """Encode a file or a folder.

    Raises:
        ValueError: For arguments that cannot be used, or files that could not be encoded.
    """
    options = _parser().parse_args(arguments)
    jobs = find_jobs(options.input, options.output, AUDIO_SUFFIXES, f".{options.format}")
    _check_endings(jobs)

    from qcodec.bitstream.encoder import Encoder
    from qcodec.bitstream.out_of_memory import fitting_memory
    from qcodec.bitstream.settings import Settings
    from qcodec.codecs.model_file import checkpoint_of

    constant = options.codebooks is not None
    settings = Settings(options.codebooks if constant else options.level, options.kbps, options.loudness)
    bitstream = open_model(options, constant)
    encoder = Encoder(bitstream)
    made = checkpoint_of(options.checkpoint).stat().st_mtime
    passes = 1 if settings.loudness is None else 2

    def action(job: Job, bar: Any) -> str:
        with fitting_memory(bitstream, job.source):
            return _encode(job, bar, encoder, settings, made)

    run_jobs(jobs, action, passes * audio_seconds(job.source for job in jobs), "encode")


def _check_endings(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.target.suffix not in CODES:
            raise ValueError(f"{job.target} ends in none of {', '.join(CODES)}: name a file that does, or a folder")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qcodec encode", description=_DESCRIPTION)
    parser.add_argument("input", type=Path, metavar="IN", help="audio file, or folder of audio files")
    parser.add_argument("output", type=Path, metavar="OUT", help="file that ends in .qc or .dac, or folder")
    add_model_arguments(parser)
    parser.add_argument("--format", choices=("qc", "dac"), default="qc", help="of the files of a folder")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--level", type=float, help="rate dial: number of codebooks, or level of a variable bitrate")
    rate.add_argument("--kbps", type=float, help="find the highest level that takes no more kilobits a second")
    rate.add_argument("--codebooks", type=int, help="constant bitrate also for a model of variable bitrate")
    parser.add_argument("--loudness", type=float, help="LUFS to bring recordings to, such as -16; decoding undoes it")
    return parser


def _encode(job: Job, bar: Any, encoder: "Encoder", settings: "Settings", made: float) -> str:
    from qcodec.atomic_write import atomic_write
    from qcodec.audio.reading import open_recording, watched
    from qcodec.bitstream.dac.convert import encode_dac

    sample_rate = encoder.bitstream.codec.sample_rate
    recording = open_recording(job.source, sample_rate)
    if _is_newer(job, made) and _is_done(job, recording, encoder, settings):
        return f"{job.target}: there already"
    shown = watched(recording, lambda n: bar.update(n / sample_rate))
    level = settings.level
    with atomic_write(job.target) as file:
        try:
            if job.target.suffix == ".dac":
                encode_dac(encoder.bitstream, shown, file, settings)
            else:
                level = encoder.encode(shown, file, settings).level
        except ValueError as error:
            raise ValueError(f"{job.source}: {error}") from None
        seconds = recording.original_length / recording.original_rate
        kbps = file.tell() * 8 / seconds / 1000
    return f"{job.target}: {seconds:.2f} s, {kbps:.2f} kbps" + ("" if level is None else f", level {level:.4g}")


def _is_newer(job: Job, made: float) -> bool:
    """Return whether the target is newer than its recording and the model, whose encoder is in no header."""
    return job.target.is_file() and job.target.stat().st_mtime >= max(job.source.stat().st_mtime, made)


def _is_done(job: Job, recording: "Recording", encoder: "Encoder", settings: "Settings") -> bool:
    """Return whether the target is what encoding would write again."""
    from qcodec.bitstream.container import check_file

    try:
        with open(job.target, "rb") as file:
            return encoder.would_write(check_file(file), recording, settings)
    except (ValueError, OSError):
        return False
