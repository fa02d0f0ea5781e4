"""Writing of audio files, a block at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import soundfile
from torch import Tensor

from qcodec.atomic_write import atomic_write
from qcodec.audio.reading import resampled

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
        try:
            with soundfile.SoundFile(part, "w", wanted.sample_rate, wanted.channels, subtype, format=kind) as file:
                for block in _cut(resampled(blocks, rate, wanted.sample_rate), wanted.length):
                    file.write(block.T.numpy())
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} cannot be written: {error.error_string}") from None


def _cut(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    for block in blocks:
        yield block[:, :length]
        length -= min(length, block.shape[1])
