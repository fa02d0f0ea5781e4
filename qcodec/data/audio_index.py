"""Index of the audio files in a folder and their lengths, kept between runs."""

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from qcodec.atomic_write import atomic_write
from qcodec.audio.folder import files_below

_log = logging.getLogger(__name__)

_VERSION = 1
_BAR_FROM = 500  # fewer files are read before a bar would help


@dataclass(frozen=True)
class AudioFile:
    """A file that can be read.

    Attributes:
        path: Its path.
        frames: Samples per channel, at its own rate.
        sample_rate: In Hz.
        channels: Number of channels.
    """

    path: str
    frames: int
    sample_rate: int
    channels: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.sample_rate


@dataclass(frozen=True)
class Fault:
    """A file that cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class AudioIndex:
    """The audio files of a folder, in the order of their names."""

    files: tuple[AudioFile, ...]
    faults: tuple[Fault, ...]


def index_audio(folder: Path) -> AudioIndex:
    """Find the audio files in ``folder`` and below; files that are unchanged since the last time are not opened.

    Length, rate and channels of a file are kept as long as its size and its time of change are the same, in
    ``$QCODEC_CACHE``, or else in ``qcodec`` under the user's cache folder.

    Raises:
        ValueError: If there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give one that holds audio")
    found = {name: _stamp(os.path.join(folder, name)) for name in files_below(folder)}
    cache = _cache_file(folder)
    known = {name: entry for name, entry in _load(cache).items() if found.get(name) == tuple(entry[:2])}
    new = [name for name in found if name not in known]
    faults, inspected = [], _inspect_all(folder, new)
    for name, result in zip(new, inspected, strict=True):
        if isinstance(result, Fault):
            faults.append(result)
        else:
            known[name] = [*found[name], *result]
    if new:
        _save(cache, known)
    files = [AudioFile(str(folder / name), *known[name][2:]) for name in found if name in known]
    return AudioIndex(tuple(files), tuple(faults))


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:  # a link to nothing: reading it will say so
        return (-1, -1)
    return status.st_size, status.st_mtime_ns


def _inspect_all(folder: Path, names: list[str]) -> list[tuple[int, int, int] | Fault]:
    paths = [str(folder / name) for name in names]
    with ThreadPoolExecutor(min(8, max(1, len(paths)))) as pool:
        results = pool.map(_inspect, paths)
        shown = None if len(names) >= _BAR_FROM else True  # None: only on a terminal
        return list(tqdm(results, f"reading {folder}", len(names), unit="file", disable=shown, leave=False))


def _inspect(path: str) -> tuple[int, int, int] | Fault:
    try:
        if os.path.getsize(path) == 0:
            return Fault(path, "is empty")
        info = soundfile.info(path)
    except UnicodeEncodeError:
        return Fault(path, "has a name that is no text: rename it")
    except (OSError, soundfile.SoundFileError) as error:
        return reading_fault(path, error)
    if info.frames == 0:
        return Fault(path, "holds no samples")
    return info.frames, info.samplerate, info.channels


def reading_fault(path: str, error: Exception) -> Fault:
    """Return why a file could not be read, in a few words."""
    try:
        open(path, "rb").close()  # soundfile calls a missing file a system error
    except OSError as system_error:
        error = system_error
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else getattr(error, "strerror", None)
    return Fault(path, f"cannot be read: {(text or str(error)).rstrip('.')}")


def _cache_file(folder: Path) -> Path:
    home = os.environ.get("QCODEC_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "qcodec")
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return Path(home).expanduser() / f"audio-{name}.json"


def _load(cache: Path) -> dict[str, list[int]]:
    """Read the kept entries by name; none if the file is missing, damaged or of another version."""
    try:
        content = json.loads(cache.read_text(encoding="ascii"))
        files: dict[str, list[int]] = content["files"]
        right = content["version"] == _VERSION and content["checksum"] == _checksum(files)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files if right else {}


def _save(cache: Path, files: dict[str, list[int]]) -> None:
    content: dict[str, Any] = {"version": _VERSION, "checksum": _checksum(files), "files": files}
    try:
        with atomic_write(cache) as file:
            file.write(json.dumps(content).encode("ascii"))
    except OSError as error:
        _log.warning("the list of audio files could not be kept in %s (%s); set QCODEC_CACHE", cache, error.strerror)


def _checksum(files: dict[str, list[int]]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
