"""Codecs that every engineer knows, by libsndfile, to hold others against: Opus, Vorbis, MP3 and FLAC."""

import io
from collections.abc import Iterator, Sequence
from typing import final

import soundfile
import torch
from torch import Tensor

from qcodec.evaluation.file_codec import CodedFile, FileCodec, Level

# Format and subtype of libsndfile, and its compression levels from the highest rate to the lowest, which are the
# package's own scale from 0 to 1: Opus then has about 260, 130, 70, 32, 16 and 8 kbps a channel.
ANCHORS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "opus": ("OGG", "OPUS", (0.0, 0.5, 0.75, 0.9, 0.966, 1.0)),
    "vorbis": ("OGG", "VORBIS", (0.0, 0.4, 0.7, 1.0)),
    "mp3": ("MP3", "MPEG_LAYER_III", (0.0, 0.3, 0.6, 0.9)),
    "flac": ("FLAC", "PCM_16", (1.0,)),
}


@final
class Anchor(FileCodec):
    """A codec of libsndfile at all its compression levels, whatever number is asked for.

    Its rate is of the whole file: these formats have no header that could be told apart.

    Args:
        name: Of ``ANCHORS``.
        sample_rate: Of the audio, in Hz.

    Raises:
        ValueError: For a name that is no anchor, or a rate that it has not.
    """

    def __init__(self, name: str, sample_rate: int) -> None:
        if name not in ANCHORS:
            raise ValueError(f"{name!r} is no anchor: choose of {', '.join(ANCHORS)}")
        self.name, self.sample_rate = name, sample_rate
        next(self.encode(torch.zeros(1, sample_rate // 10), self.levels(1)))

    def levels(self, most: int) -> Sequence[Level]:
        """Return the compression levels, highest rate first."""
        return ANCHORS[self.name][2]

    def encode(self, audio: Tensor, levels: Sequence[Level]) -> Iterator[CodedFile]:
        """Write files.

        Raises:
            ValueError: For a rate that it has not.
        """
        kind, subtype, _ = ANCHORS[self.name]
        for level in levels:
            file = io.BytesIO()
            try:
                samples = audio.T.numpy()
                soundfile.write(file, samples, self.sample_rate, format=kind, subtype=subtype, compression_level=level)
            except soundfile.LibsndfileError as error:
                raise ValueError(
                    f"{self.name} of {self.sample_rate} Hz cannot be written: {error.error_string}"
                ) from None
            yield CodedFile(file.getvalue())

    def decode(self, content: bytes) -> Tensor:
        """Read a file."""
        return torch.from_numpy(soundfile.read(io.BytesIO(content), always_2d=True)[0].T)
