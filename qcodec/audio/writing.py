"""Writing of audio files, a block at a time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast, final

import soundfile
from torch import Tensor

from qcodec.atomic_write import atomic_write
from qcodec.audio.reading import resampled

T = TypeVar("T")
_FORMATS = {"OPUS": "OGG", "AIF": "AIFF"}  # by the ending, where that is not the format's name
_SUBTYPES = {"OPUS": "OPUS"}  # by the ending, where that is not the format's usual one
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_MOST_CHANNELS = {"MP3": 2, "FLAC": 8}


@final
@dataclass(frozen=True)
class AudioFormat:
    """Format and length of an audio file.

    Attributes:
        sample_rate: In Hz.
        channels: Number of channels.
        length: Samples per channel; longer audio is cut.
        subtype: Sample format such as ``FLOAT``; the usual one of the file's ending if ``None``.
    """

    sample_rate: int
    channels: int
    length: int
    subtype: str | None = None


def write_audio(path: Path, blocks: Iterable[Tensor], rate: int, wanted: AudioFormat) -> None:
    """Write audio to ``path``, in the format of its ending.

    Args:
        path: File such as ``out.wav``; it appears when it is whole.
        blocks: ``(C, n)`` each.
        rate: Their rate in Hz; they are resampled where another is wanted.
        wanted: The format to write.

    Raises:
        ValueError: For an ending or sample format that cannot be written.
        OSError: Where nothing can be written.
    """
    ending = path.suffix.removeprefix(".").upper()
    kind, subtype = _FORMATS.get(ending, ending), wanted.subtype or _SUBTYPES.get(ending)
    if kind not in soundfile.available_formats() or not soundfile.check_format(kind, subtype):
        what = f"{path.suffix} with samples of {wanted.subtype}" if wanted.subtype else repr(path.suffix)
        raise ValueError(f"{path}: audio cannot be written as {what}: end it in .wav or .flac, or leave --subtype out")
    most = _MOST_CHANNELS.get(kind, wanted.channels)
    if wanted.channels > most:
        raise ValueError(f"{path}: {path.suffix} holds {most} channels and not {wanted.channels}: end it in .wav")
    if subtype == "OPUS" and wanted.sample_rate not in _OPUS_RATES:
        raise ValueError(
            f"{path}: Opus has no rate of {wanted.sample_rate} Hz, but {', '.join(map(str, _OPUS_RATES))}: end it in "
            ".wav, .flac or .ogg"
        )
    with atomic_write(path) as part:
        sink = _Sink(part)
        try:
            with soundfile.SoundFile(
                cast(BinaryIO, sink), "w", wanted.sample_rate, wanted.channels, subtype, format=kind
            ) as file:
                for block in _cut(resampled(blocks, rate, wanted.sample_rate), wanted.length):
                    file.write(block.T.numpy())
                    sink.check(path)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} cannot be written: {error.error_string}") from None
        sink.check(path)


class _Sink:
    """A file that keeps its first error: soundfile calls it from C, where what is raised would be printed and lost."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, content: bytes) -> int:
        return self._kept(lambda: self._file.write(content), len(content))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._kept(lambda: self._file.seek(offset, whence), 0)

    def tell(self) -> int:
        return self._kept(self._file.tell, 0)

    def read(self, size: int = -1) -> bytes:
        return self._kept(lambda: self._file.read(size), b"")

    def _kept(self, call: Callable[[], T], otherwise: T) -> T:
        if self._error is None:
            try:
                return call()
            except OSError as error:
                self._error = error
        return otherwise

    def check(self, path: Path) -> None:
        """Raise the error that was kept."""
        if self._error is not None:
            raise OSError(f"{path} cannot be written whole: is the disk full? ({self._error.strerror})")


def _cut(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    for block in blocks:
        yield block[:, :length]
        length -= min(length, block.shape[1])
