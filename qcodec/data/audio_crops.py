"""Crops of audio files, drawn by number."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil
from typing import final

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor
from torch.utils.data import Dataset

from qcodec.data.audio_index import AudioFile, Fault, reason_of
from qcodec.data.audio_transforms import CropTransform
from qcodec.data.synthetic import STREAMS, stream_seed
from qcodec.loudness import SILENCE_LUFS, integrated_loudness

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]

_CONTEXT = 64  # samples of the lower rate on either side of a crop that is resampled, for the filter
_FILES_IN_A_ROW = 16  # that may fail before the folder is taken to be gone


def frames_needed(samples: int, file_rate: int, sample_rate: int) -> int:
    """Give the frames of a file from which ``samples`` at ``sample_rate`` come.

    Example:
        >>> frames_needed(6080, 24000, 16000)
        9120
    """
    return ceil(samples * file_rate / sample_rate)


def read_crop(file: AudioFile, start: int, samples: int, sample_rate: int) -> Samples:
    """Read ``samples`` values at ``sample_rate`` from frame ``start`` on, as the mean of the channels.

    Raises:
        OSError, soundfile.SoundFileError: If the file cannot be read, or is no longer what the index says.
    """
    rate = file.sample_rate
    need = frames_needed(samples, rate, sample_rate)
    context = 0 if rate == sample_rate else ceil(_CONTEXT * max(1.0, rate / sample_rate))
    first = max(0, start - context)
    last = min(file.frames, start + need + context)
    with soundfile.SoundFile(file.path) as opened:
        if (opened.samplerate, opened.channels) != (rate, file.channels):
            raise OSError("has changed since the index was made")
        opened.seek(first)
        audio: Samples = opened.read(last - first, dtype="float32", always_2d=True).mean(1, dtype=np.float32)
    if len(audio) < last - first:
        raise OSError("is cut off")
    if rate == sample_rate:
        return audio
    audio = soxr.resample(audio, rate, sample_rate)
    begin = (start - first) * sample_rate // rate
    audio = audio[begin : begin + samples]
    return np.pad(audio, (0, samples - len(audio)), mode="edge")  # by one sample at most, where the file ends


@dataclass(frozen=True)
class CropBatch:
    """Crops ``(B, 1, L)``, and the files that were found unusable on the way."""

    audio: Tensor
    faults: tuple[Fault, ...] = ()

    def pin_memory(self) -> "CropBatch":
        """Give the same batch in memory that a GPU copies from directly."""
        return replace(self, audio=self.audio.pin_memory())


@dataclass
class _Draw:
    """Where the search for one crop stands."""

    number: int
    swaps: int = 0
    tries: int = 0


@final
@dataclass(frozen=True)
class CropSource(Dataset[CropBatch]):
    """Draws crops of ``seconds`` from files; each depends on (seed, split, its number) alone.

    Crop after crop takes the files in an order that is drawn anew when all have been used. A crop at or below
    ``floor_lufs`` is drawn again from the same file, up to ``tries`` times; then the last one is taken, but if it is
    silent, or if a file cannot be read, another file takes its place.

    Attributes:
        files: The files, none shorter than a crop.
        sample_rate: In Hz.
        seconds: Duration of a crop.
        floor_lufs: Loudness that a crop should exceed, in LUFS.
        tries: Draws from one file.
        transform: What is done to each crop.
        seed: Of the random numbers.
        split: Which stream of them: train, val or test.
    """

    files: tuple[AudioFile, ...]
    sample_rate: int
    seconds: float
    floor_lufs: float = -40.0
    tries: int = 8
    transform: CropTransform = field(default_factory=CropTransform)
    seed: int = 0
    split: str = "train"

    @property
    def samples(self) -> int:
        """Length of a crop."""
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
        pending = list(range(len(draws)))
        while pending:
            for place in pending:
                audio[place] = torch.from_numpy(self._read(draws[place], faults))
            levels[pending] = integrated_loudness(audio[pending, None], self.sample_rate)
            pending = [place for place in pending if not self._accepted(draws[place], levels[place].item(), faults)]
        values = torch.tensor([[self._uniform(name, n) for name in ("level", "phase")] for n in numbers])
        return CropBatch(self.transform.apply(audio, self.sample_rate, levels, values)[:, None], tuple(faults))

    def _accepted(self, draw: _Draw, level: float, faults: list[Fault]) -> bool:
        """Decide on a crop; if it is refused, move the draw on."""
        if level > self.floor_lufs:
            return True
        draw.tries += 1
        if draw.tries < self.tries and level == level:  # not NaN
            return False
        if level > SILENCE_LUFS:
            return True
        reason = "is silent" if level == level else "holds values that are not finite"
        self._swap(draw, Fault(self._file(draw).path, reason), faults)
        return False

    def _read(self, draw: _Draw, faults: list[Fault]) -> Samples:
        while True:
            file = self._file(draw)
            spare = file.frames - frames_needed(self.samples, file.sample_rate, self.sample_rate)
            start = int(self._uniform("offset", draw.number, draw.swaps, draw.tries) * (spare + 1))
            try:
                return read_crop(file, start, self.samples, self.sample_rate)
            except (OSError, soundfile.SoundFileError) as error:
                self._swap(draw, Fault(file.path, f"cannot be read: {reason_of(error)}"), faults)

    def _swap(self, draw: _Draw, fault: Fault, faults: list[Fault]) -> None:
        faults.append(fault)
        draw.swaps, draw.tries = draw.swaps + 1, 0
        if draw.swaps == _FILES_IN_A_ROW:
            raise OSError(f"{_FILES_IN_A_ROW} files in a row gave no audio; the last, {fault.path}, {fault.reason}")

    def _file(self, draw: _Draw) -> AudioFile:
        count = len(self.files)
        if draw.swaps:
            return self.files[int(self._uniform("file", draw.number, draw.swaps) * count)]
        turn, place = divmod(draw.number, count)
        return self.files[_order(count, stream_seed(self.seed, STREAMS[self.split], STREAMS["file"], turn))[place]]

    def _uniform(self, purpose: str, *key: int) -> float:
        return (stream_seed(self.seed, STREAMS[self.split], STREAMS[purpose], *key) >> 10) / 2**53


@lru_cache(maxsize=4)
def _order(count: int, seed: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return order
