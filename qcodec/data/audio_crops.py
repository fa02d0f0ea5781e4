"""Crops of audio files, drawn by number."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import final

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor
from torch.utils.data import Dataset

from qcodec.audio.loudness import SILENCE_LUFS, integrated_loudness
from qcodec.audio.reading import SequentialFile, stream_length
from qcodec.data.audio_index import AudioFile, Fault, reading_fault
from qcodec.data.audio_memory import AudioMemory
from qcodec.data.audio_transforms import CropTransform
from qcodec.random_streams import STREAMS, stream_seed

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]

_CONTEXT = 64  # samples of the lower rate on either side of a crop that is resampled, for the filter
_FULL_SCALE = np.float32(2**-15)  # of 16 bits
_FILES_IN_A_ROW = 16  # that may fail before the folder is taken to be gone


def frames_needed(samples: int, file_rate: int, sample_rate: int) -> int:
    """Return how many frames of a file at ``file_rate`` make ``samples`` at ``sample_rate``.

    Example:
        >>> frames_needed(6080, 24000, 16000)
        9120
    """
    return ceil(samples * file_rate / sample_rate)


def read_crop(file: AudioFile, start: int, out: Samples, sample_rate: int, memory: AudioMemory | None = None) -> None:
    """Read the audio from frame ``start`` on into ``out``, as the mean of the channels, at ``sample_rate``.

    Files that are in ``memory`` give the same values without being opened.

    Raises:
        OSError, soundfile.SoundFileError: If the file cannot be read, or is no longer what the index says.
    """
    rate, samples = file.sample_rate, len(out)
    if rate == sample_rate:
        _read(file, start, out, memory)
        return
    context = ceil(_CONTEXT * max(1.0, rate / sample_rate))
    first = max(0, start - context)
    last = min(file.frames, start + frames_needed(samples, rate, sample_rate) + context)
    stretch = np.empty(last - first, np.float32)
    _read(file, first, stretch, memory)
    begin = (start - first) * sample_rate // rate
    resampled = soxr.resample(stretch, rate, sample_rate)[begin : begin + samples]
    out[: len(resampled)] = resampled
    out[len(resampled) :] = resampled[-1]  # one sample at most, where the file ends


def _read(file: AudioFile, start: int, out: Samples, memory: AudioMemory | None) -> None:
    kept = memory.samples(file) if memory else None
    if kept is None:
        _read_file(file, start, out)
    elif file.channels == 1:
        np.multiply(kept[start : start + len(out), 0], _FULL_SCALE, out=out)
    else:
        np.multiply(kept[start : start + len(out)], _FULL_SCALE).mean(1, out=out)


def _read_file(file: AudioFile, start: int, out: Samples) -> None:
    with SequentialFile(file.path) as opened:
        if (opened.samplerate, opened.channels) != (file.sample_rate, file.channels):
            raise OSError("it has changed since the index was made")
        opened.seek(start)
        if file.channels == 1:
            count = len(opened.read(out=out))
        else:
            channels = opened.read(len(out), dtype="float32")
            count = len(channels)
            channels.mean(1, out=out[:count])
    if count < len(out):
        raise OSError("it is cut off")


@dataclass(frozen=True)
class CropBatch:
    """Crops ``(B, 1, L)``, and the files that were found unusable on the way."""

    audio: Tensor
    faults: tuple[Fault, ...] = ()

    def pin_memory(self) -> "CropBatch":
        """Return the same batch in memory that a GPU copies from directly."""
        return replace(self, audio=self.audio.pin_memory())


@dataclass
class _Draw:
    """Where the search for one crop stands."""

    number: int
    swaps: int = 0
    tries: int = 0


@dataclass(frozen=True)
class Floor:
    """Rule by which quiet crops are drawn again.

    Attributes:
        lufs: Loudness that a crop should exceed, in LUFS.
        tries: Draws from one file.
    """

    lufs: float = -40.0
    tries: int = 8


@final
@dataclass(frozen=True)
class CropSource(Dataset[CropBatch]):
    """Draws crops of ``seconds`` from files; each depends on (seed, split, its number) alone, whatever is in memory.

    Crop after crop takes the files in an order that is drawn anew when all have been used. A crop at or below
    the floor is drawn again from the same file, up to ``floor.tries`` times; then the last one is taken, but if it is
    silent, or if a file cannot be read, another file takes its place.

    Attributes:
        files: The files, none shorter than a crop.
        sample_rate: In Hz.
        seconds: Duration of a crop.
        floor: Loudness that a crop should exceed.
        transform: Changes loudness, peak and phase of each crop.
        seed: Of the random numbers.
        split: Which stream of them: train, val or test.
        memory: Keeps files that have been read.
        domains: Files with the share of the crops that are drawn from them, which add up to 1; empty for all alike.
    """

    files: tuple[AudioFile, ...]
    sample_rate: int
    seconds: float
    floor: Floor = field(default_factory=Floor)
    transform: CropTransform = field(default_factory=CropTransform)
    seed: int = 0
    split: str = "train"
    memory: AudioMemory = field(default_factory=AudioMemory)
    domains: tuple[tuple[float, tuple[AudioFile, ...]], ...] = ()

    @property
    def samples(self) -> int:
        """Length of a crop in samples."""
        return int(self.seconds * self.sample_rate)

    def __getitems__(self, numbers: list[int]) -> CropBatch:
        """Draw the crops of these numbers.

        Raises:
            OSError: If file after file cannot be read.
        """
        draws = [_Draw(number) for number in numbers]
        faults: list[Fault] = []
        audio = torch.empty(len(draws), self.samples)
        levels = torch.empty(len(draws))
        pending, crops = list(range(len(draws))), audio.numpy()
        while pending:
            for place in pending:
                self._fill(crops[place], draws[place], faults)
            levels[pending] = integrated_loudness(audio[pending, None], self.sample_rate)
            pending = [place for place in pending if not self._accepted(draws[place], levels[place].item(), faults)]
        values = torch.tensor([[self._uniform(name, n) for name in ("level", "phase")] for n in numbers])
        return CropBatch(self.transform.apply(audio, self.sample_rate, levels, values)[:, None], tuple(faults))

    def _accepted(self, draw: _Draw, level: float, faults: list[Fault]) -> bool:
        """Return whether a crop is taken; if it is not, move the draw on."""
        if level > self.floor.lufs:
            return True
        draw.tries += 1
        if draw.tries < self.floor.tries and level == level:  # not NaN
            return False
        if level > SILENCE_LUFS:
            return True
        reason = "is silent" if level == level else "holds values that are not finite"
        self._swap(draw, Fault(self._file(draw).path, reason), faults)
        return False

    def _fill(self, crop: Samples, draw: _Draw, faults: list[Fault]) -> None:
        while True:
            file = self._file(draw)
            try:
                return self._read(file, draw, crop)
            except (OSError, soundfile.SoundFileError) as error:
                fault = reading_fault(file.path, error)
            try:  # where its header says more than it holds: of what it holds
                return self._read(replace(file, frames=_real_length(file.path)), draw, crop)
            except (OSError, soundfile.SoundFileError):
                self._swap(draw, fault, faults)

    def _read(self, file: AudioFile, draw: _Draw, crop: Samples) -> None:
        spare = file.frames - frames_needed(self.samples, file.sample_rate, self.sample_rate)
        if spare < 0:
            raise OSError("it is cut off")
        start = int(self._uniform("offset", draw.number, draw.swaps, draw.tries) * (spare + 1))
        read_crop(file, start, crop, self.sample_rate, self.memory)

    def _swap(self, draw: _Draw, fault: Fault, faults: list[Fault]) -> None:
        faults.append(fault)
        draw.swaps, draw.tries = draw.swaps + 1, 0
        if draw.swaps == _FILES_IN_A_ROW:
            raise OSError(f"{_FILES_IN_A_ROW} files in a row gave no audio; the last, {fault.path}, {fault.reason}")

    def _file(self, draw: _Draw) -> AudioFile:
        files = self._domain(draw.number)
        count = len(files)
        if draw.swaps:
            return files[int(self._uniform("file", draw.number, draw.swaps) * count)]
        turn, place = divmod(draw.number, count)  # of one domain, other numbers are left out
        return files[_order(count, stream_seed(self.seed, STREAMS[self.split], STREAMS["file"], turn))[place]]

    def _domain(self, number: int) -> tuple[AudioFile, ...]:
        """Return the files that a crop is drawn from."""
        drawn = self._uniform("domain", number) if self.domains else 0.0
        for share, files in self.domains:
            if drawn < share:
                return files
            drawn -= share
        return self.domains[-1][1] if self.domains else self.files

    def _uniform(self, purpose: str, *key: int) -> float:
        return (stream_seed(self.seed, STREAMS[self.split], STREAMS[purpose], *key) >> 10) / 2**53


@lru_cache(maxsize=4096)
def _real_length(path: str) -> int:
    """Return how many samples a file holds, 0 for a damaged one; once, as it takes reading all of it."""
    try:
        return stream_length(Path(path))
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=4)
def _order(count: int, seed: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return order
