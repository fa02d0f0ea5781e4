"""Which files of a folder are audio."""

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

# By their ending, in lower case: the formats that libsndfile reads and people keep recordings in.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")
_NOT_READ = (".m4a", ".aac", ".webm", ".mp4", ".mka", ".wma", ".ape", ".wv", ".amr", ".ac3", ".dsf")

_log = logging.getLogger(__name__)


def files_below(folder: Path, suffixes: Sequence[str] = AUDIO_SUFFIXES) -> list[str]:
    """Find the files in a folder, and in all folders below it, whose names end in one of ``suffixes``.

    Links to folders are followed, each folder once. Files and folders whose names begin with a dot are left out: they
    are a system's own, such as the ``._a.flac`` that macOS puts beside ``a.flac``. Audio of a kind that cannot be read
    is counted in one warning where audio is looked for, the first time.

    Args:
        folder: Where to look.
        suffixes: Endings in lower case; a name may have them in upper case.

    Returns:
        Paths below the folder, in the order of their names.
    """
    found, other = [], []
    seen = set()
    for at, below, names in os.walk(folder, followlinks=True):
        place = os.stat(at)
        if (place.st_dev, place.st_ino) in seen:
            below.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in names:
            ending = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if ending in suffixes:
                found.append(os.path.relpath(os.path.join(at, name), folder))
            elif ending in _NOT_READ:
                other.append(ending)
    if other and suffixes == AUDIO_SUFFIXES:
        _tell(folder, len(other), tuple(sorted(set(other))))
    return sorted(found)


@lru_cache(maxsize=4096)
def _tell(folder: Path, count: int, endings: tuple[str, ...]) -> None:
    """Say once in a process what is left out: a data set is looked through for each of its splits."""
    _log.warning(
        "%s holds %d files that are left out, as %s cannot be read: convert them first, for example with "
        "ffmpeg -i a%s a.flac", folder, count, ", ".join(endings), endings[0],
    )  # fmt: skip
