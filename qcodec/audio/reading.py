"""Reading of audio from a file or a tensor, a block at a time, at the rate of the codec."""

import dataclasses
import io
import logging
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
from numpy.typing import NDArray
from torch import Tensor

from qcodec.audio.loudness import SILENCE_LUFS, LoudnessMeter

_BLOCK = 1 << 16
_WITHOUT_TRAILER = ("MP3", "OGG", "FLAC")  # formats that end with their audio, but for tags
_ROUNDING = 1024  # bytes of a last frame that is not whole
_log = logging.getLogger(__name__)


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
    stream = Stream(path)
    length = sum(len(block) for block in stream)  # the count of its header may be an estimate
    if not length:
        raise ValueError(f"{path} holds no samples")
    if length != info.frames:
        _log.warning("%s: its header says %d samples, it holds %d: these are used", path, info.frames, length)
    if info.format in _WITHOUT_TRAILER and stream.unread > _ROUNDING:
        _log.warning(
            "%s: its audio ends %d bytes before the file does, and what follows is not read: where these are more "
            "recordings in a row, split them with another program", path, stream.unread,
        )  # fmt: skip

    def blocks() -> Iterator[Tensor]:
        return resampled(map(_tensor, Stream(path)), info.samplerate, sample_rate)

    return Recording(info.channels, info.samplerate, length, blocks)


def stream_length(path: Path) -> int:
    """Count the samples per channel that a file really holds, by reading all of it; raises as ``Stream`` does."""
    return sum(len(block) for block in Stream(path))


class Stream:
    """What an audio file really holds, in blocks ``(n, C)`` of float32, whatever its header says.

    Args:
        path: The file.

    Attributes:
        unread: Bytes behind the end of the audio but for tags, once it was read.

    Raises:
        ValueError: On reading, for a file that is damaged, or holds samples that are not finite.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.unread = path, 0

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Read the file from its beginning."""
        with open(self.path, "rb", buffering=0) as raw:  # of which soundfile takes the descriptor, and its place
            try:
                with SequentialFile(raw.fileno(), closefd=False) as file:
                    left = file.frames  # beyond it libsndfile would take tags for audio
                    while left and len(block := file.read(min(_BLOCK, left), dtype="float32", always_2d=True)):
                        left -= len(block)
                        if not np.isfinite(block).all():
                            raise ValueError(f"{self.path} holds samples that are not finite")
                        yield block
            except soundfile.LibsndfileError as error:
                raise ValueError(f"{self.path} is damaged: {error.error_string}") from None
            self.unread = os.fstat(raw.fileno()).st_size - raw.tell() - _tags_at_end(raw)


def _tags_at_end(file: io.RawIOBase) -> int:
    """Count the bytes of an ID3v1 and an APEv2 tag at the end of a file; it is left at another place."""
    file.seek(-min(160, file.seek(0, os.SEEK_END)), os.SEEK_CUR)
    tail, tags = file.read(160) or b"", 0
    if tail[-128:-125] == b"TAG":
        tail, tags = tail[:-128], 128
    if tail[-32:-24] == b"APETAGEX":
        tags += 32 + int.from_bytes(tail[-20:-16], "little")
    return tags


class SequentialFile(soundfile.SoundFile):
    """A file that is read in one direction: it ends where its audio does, and soundfile does not seek in between."""

    def seekable(self) -> bool:
        """Return false: else soundfile takes the header's word for the length, and seeks once after each block."""
        return False


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


def _tensor(block: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block.T))
