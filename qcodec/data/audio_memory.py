"""Memory of audio files, shared by worker processes."""

import mmap
from typing import final

import numpy as np
import soundfile

from qcodec.data.audio_index import AudioFile

_KEPT_SUFFIXES = (".wav", ".flac")  # they decode to the same samples wherever reading begins
_UNKNOWN, _HELD, _LEFT_OUT = range(3)


@final
class AudioMemory:
    """Keeps the samples of 16-bit wav and flac files from the first time they are asked for, up to a budget.

    The first files that fit have their place; the others are not kept, so nothing is ever evicted. Worker processes
    that are forked share one memory and leave what they read to those of the next epoch; two that read the same file at
    once write the same samples. System memory is taken as files are kept.

    Args:
        files: The files that may be asked for.
        budget: Of memory, in bytes.

    Raises:
        OSError: If the system has no room for so much.
    """

    def __init__(self, files: tuple[AudioFile, ...] = (), budget: int = 0) -> None:
        self._files, self._budget = files, budget
        self._places: dict[str, tuple[int, int]] = {}
        end = 0
        for file in files:
            size = 2 * file.frames * file.channels
            if file.path.lower().endswith(_KEPT_SUFFIXES) and end + size <= budget:
                self._places[file.path] = (len(self._places), end // 2)
                end += size
        try:
            shared = mmap.mmap(-1, end + len(self._places) + 1)
        except OSError as error:
            raise OSError(f"no room to keep {end / 2**30:.2f} GiB of audio: set memory_gib to less") from error
        self._samples = np.frombuffer(shared, np.int16, end // 2)
        self._states = np.frombuffer(shared, np.uint8, len(self._places), end)

    def __reduce__(self) -> tuple[type["AudioMemory"], tuple[tuple[AudioFile, ...], int]]:
        """Pickle the arguments: a process that is not forked begins anew."""
        return AudioMemory, (self._files, self._budget)

    def samples(self, file: AudioFile) -> np.ndarray | None:
        """Return the whole file ``(N, C)``, int16; ``None`` if it is not kept, or cannot be read as the index says."""
        if file.path not in self._places:
            return None
        number, begin = self._places[file.path]
        kept = self._samples[begin : begin + file.frames * file.channels].reshape(-1, file.channels)
        if self._states[number] == _UNKNOWN:
            self._states[number] = _HELD if _decode(file, kept) else _LEFT_OUT
        return kept if self._states[number] == _HELD else None


def _decode(file: AudioFile, out: np.ndarray) -> bool:
    """Read a whole file and return true, if it has 16 bits and is as the index says."""
    try:
        with soundfile.SoundFile(file.path) as opened:
            found = opened.samplerate, opened.channels, opened.frames, opened.subtype
            right = found == (file.sample_rate, file.channels, file.frames, "PCM_16")
            return right and len(opened.read(out=out)) == file.frames
    except (OSError, soundfile.SoundFileError):
        return False  # reading the part that is wanted tells why, or works
