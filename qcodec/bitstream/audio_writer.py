"""Decoded audio to a file, a block at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import soundfile
from torch import Tensor

from qcodec.bitstream.header import Header
from qcodec.bitstream.recording import resampled
from qcodec.bitstream.replacing import replacing


def write_audio(path: Path, blocks: Iterable[Tensor], header: Header, rate: int, subtype: str | None = None) -> None:
    """Write decoded audio to ``path``, in the format of its ending.

    Args:
        path: File such as ``out.wav``; it appears when it is whole.
        blocks: ``(C, n)`` at the codec's rate.
        header: Of the file that was decoded.
        rate: The codec's rate or the recording's, in Hz.
        subtype: Sample format such as ``FLOAT``; the format's usual one if left out.

    Raises:
        ValueError: For an ending or sample format that cannot be written.
        OSError: Where nothing can be written.
    """
    kind = path.suffix.removeprefix(".").upper()
    kind = {"OPUS": "OGG", "AIF": "AIFF"}.get(kind, kind)
    if kind not in soundfile.available_formats() or not soundfile.check_format(kind, subtype):
        what = f"{path.suffix} with samples of {subtype}" if subtype else f"{path.suffix!r}"
        raise ValueError(f"{path}: audio cannot be written as {what}: end it in .wav or .flac, or leave --subtype out")
    if rate != header.sample_rate:
        blocks = _cut(resampled(blocks, header.sample_rate, rate), header.original_length)
    with replacing(path) as part:
        try:
            with soundfile.SoundFile(part, "w", rate, header.channels, subtype, format=kind) as file:
                for block in blocks:
                    file.write(block.T.numpy())
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} cannot be written: {error.error_string}") from None


def _cut(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    for block in blocks:
        yield block[:, :length]
        length -= min(length, block.shape[1])
