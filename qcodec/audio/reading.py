"""Reading of audio from a file or a tensor, a block at a time, at the rate of the codec."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from qcodec.audio.loudness import SILENCE_LUFS, LoudnessMeter

_BLOCK = 1 << 16


@final
@dataclass(frozen=True)
class Recording:
    """Audio that can be read more than once.

    Attributes:
        channels: Number of channels.
        original_rate: Its own rate in Hz.
        original_length: Samples per channel at that rate.
        blocks: Returns the audio from its beginning, in blocks ``(C, n)`` of float32 at the codec's rate.
    """

    channels: int
    original_rate: int
    original_length: int
    blocks: Callable[[], Iterable[Tensor]]


def open_recording(path: Path, sample_rate: int) -> Recording:
    """Open an audio file, to be resampled to ``sample_rate`` where that is not its own.

    Raises:
        ValueError: For a file that is no audio or holds none.
        OSError: Where it cannot be opened.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        info = soundfile.info(opening_name(path))
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} is damaged or no audio that libsndfile reads: {error.error_string}") from None
    if not info.frames:
        raise ValueError(f"{path} holds no samples")

    def blocks() -> Iterator[Tensor]:
        return resampled(_read(path, info.frames), info.samplerate, sample_rate)

    return Recording(info.channels, info.samplerate, info.frames, blocks)


def opening_name(path: Path) -> Any:
    """Return the name by which soundfile opens a file, as ``str`` or ``bytes``, also where it is no text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def recording_of(audio: Tensor, sample_rate: int) -> Recording:
    """Return audio ``(C, L)`` at the codec's rate as a recording.

    Raises:
        ValueError: For another shape.
    """
    if audio.dim() != 2 or not audio.numel() or not audio.is_floating_point():
        raise ValueError(f"a recording is floating audio of shape (C, L), not {audio.dtype} of {tuple(audio.shape)}")
    return Recording(audio.shape[0], sample_rate, audio.shape[1], lambda: [audio.float()])


def watched(recording: Recording, report: Callable[[int], object]) -> Recording:
    """Return a recording that calls ``report`` with each block's number of samples when it is read."""

    def blocks() -> Iterator[Tensor]:
        for block in recording.blocks():
            report(block.shape[1])
            yield block

    return dataclasses.replace(recording, blocks=blocks)


def loudness_gain(recording: Recording, sample_rate: int, loudness: float | None) -> float:
    """Compute the gain in dB that brings a recording to a loudness in LUFS without clipping.

    Zero where none is asked for, and for silence, which has no loudness.
    """
    if loudness is None:
        return 0.0
    meter, peak = LoudnessMeter(sample_rate), 0.0
    for block in recording.blocks():
        meter.add(block.unsqueeze(0))
        peak = max(peak, float(block.abs().max()) if block.numel() else 0.0)
    measured = meter.loudness().item()
    return 0.0 if measured <= SILENCE_LUFS else min(loudness - measured, -20 * math.log10(peak))


def amplified(recording: Recording, gain_db: float) -> Recording:
    """Return a recording amplified by a gain in dB; itself for none."""
    if not gain_db:
        return recording
    gain = 10 ** (gain_db / 20)
    return dataclasses.replace(recording, blocks=lambda: (block * gain for block in recording.blocks()))


def resampled(blocks: Iterable[Tensor], rate: int, wanted: int) -> Iterator[Tensor]:
    """Resample blocks ``(C, n)`` from one rate in Hz to another, as one signal whose length is rounded up.

    Example:
        >>> sum(block.shape[1] for block in resampled([torch.zeros(2, 600)] * 5, 48000, 16000))
        1000
    """
    if rate == wanted:
        yield from blocks
        return
    stream: Any = None
    length = given = 0
    for block in blocks:
        stream = stream or soxr.ResampleStream(rate, wanted, len(block), dtype="float32", quality="HQ")
        length += block.shape[1]
        out = _tensor(stream.resample_chunk(block.T.contiguous().numpy()))
        given += out.shape[1]
        yield out
    if stream is not None:
        silence = np.zeros((-(-rate // wanted), len(block)), np.float32)  # worth one sample, as soxr rounds lengths
        rest = _tensor(stream.resample_chunk(silence, last=True))
        yield rest[:, : -(-length * wanted // rate) - given]


def _read(path: Path, frames: int) -> Iterator[Tensor]:
    count = 0
    try:
        with soundfile.SoundFile(opening_name(path)) as file:
            for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
                if not np.isfinite(block).all():
                    raise ValueError(f"{path} holds samples that are not finite")
                count += len(block)
                yield _tensor(block)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} is damaged: {error.error_string}") from None
    if count != frames:
        raise ValueError(f"{path} is cut off: it holds {count} of {frames} samples")


def _tensor(block: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block.T))
