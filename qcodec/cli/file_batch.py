"""Files and folders of files that a command turns into others."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from qcodec.audio.folder import files_below

CODES = (".qc", ".dac")


@final
@dataclass(frozen=True)
class Job:
    """One file to read and one to write."""

    source: Path
    target: Path


def find_sources(source: Path, suffixes: Sequence[str]) -> list[Path]:
    """Find a file, or the files of a folder and all its folders that end in one of ``suffixes``.

    Raises:
        ValueError: For a folder without such files.
        OSError: For a source that does not exist.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"there is no file or folder {source}")
    found = [source / name for name in files_below(source, suffixes)]
    if not found:
        raise ValueError(f"{source} holds no file that ends in {', '.join(suffixes)}")
    return found


def audio_seconds(sources: Iterable[Path]) -> float:
    """Compute the duration of audio files in seconds; files that cannot be read are reported when they are opened."""
    import soundfile

    from qcodec.audio.reading import opening_name

    total = 0.0
    for source in sources:
        with suppress(soundfile.LibsndfileError, OSError):
            total += soundfile.info(opening_name(source)).duration
    return total


def find_jobs(source: Path, target: Path, suffixes: Sequence[str], suffix: str) -> list[Job]:
    """Pair a file with its target, or each file in a folder with one at the same place in the target folder.

    Args:
        source: File, or folder that is searched through all its folders.
        target: File or folder; for a folder a folder.
        suffixes: Endings of the files in a folder that are taken.
        suffix: Ending of targets that are not named.

    Raises:
        ValueError: For a folder without such files, or two files with one target.
        OSError: For a source that does not exist.
    """
    if source.is_file():
        inside = target.is_dir()
        return [Job(source, target / source.with_suffix(suffix).name if inside else target)]
    found = find_sources(source, suffixes)
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file and {source} a folder: give a folder to write to")
    jobs = [Job(path, target / path.relative_to(source).with_suffix(suffix)) for path in found]
    taken: dict[Path, Path] = {}
    for job in jobs:
        if job.target in taken:
            raise ValueError(f"{taken[job.target]} and {job.source} would both be {job.target}: rename one")
        taken[job.target] = job.source
    return jobs


def run_jobs(jobs: Sequence[Job], action: Callable[[Job, Any], str], seconds: float, verb: str) -> None:
    """Run each job with a progress bar in seconds of audio, and go on after one that fails.

    Args:
        jobs: The jobs, in order.
        action: Runs a job, moves the bar on, and returns a line to print.
        seconds: How much audio there is, in seconds.
        verb: Label of the bar.

    Raises:
        ValueError: At the end, with the first reason, where a job failed; the others were reported on the way.
    """
    from tqdm import tqdm

    failed: list[str] = []
    with tqdm(total=round(seconds, 1), desc=verb, unit="s", disable=None, file=sys.stderr) as bar:
        for job in jobs:
            try:
                line = action(job, bar)
            except (ValueError, OSError) as error:
                failed.append(" ".join(str(error).split()))
                if len(jobs) > 1:
                    bar.write(f"qcodec: {failed[-1]}", file=sys.stderr)
            else:
                bar.write(_printable(line), file=sys.stdout)
    if failed and len(jobs) == 1:
        raise ValueError(failed[0])
    if failed:
        raise ValueError(f"{len(failed)} of {len(jobs)} files failed, the first with: {failed[0]}")


def _printable(line: str) -> str:
    """Write what the terminal's encoding lacks, such as bytes of a file's name, as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
