"""Codecs that every engineer knows, by libsndfile, to hold others against: Opus, Vorbis, MP3 and FLAC."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from qcodec.audio.reading import open_recording
from qcodec.evaluation.quality import QualityMetric, quality
from qcodec.evaluation.rate_mel import Measured

# Format and subtype of libsndfile, and its compression levels from the highest rate to the lowest, which are the
# package's own scale from 0 to 1: Opus then has about 260, 130, 70, 32, 16 and 8 kbps a channel.
ANCHORS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "opus": ("OGG", "OPUS", (0.0, 0.5, 0.75, 0.9, 0.966, 1.0)),
    "vorbis": ("OGG", "VORBIS", (0.0, 0.4, 0.7, 1.0)),
    "mp3": ("MP3", "MPEG_LAYER_III", (0.0, 0.3, 0.6, 0.9)),
    "flac": ("FLAC", "PCM_16", (1.0,)),
}


def anchor(name: str, files: Sequence[Path], rate: int, metrics: Sequence[QualityMetric]) -> Iterator[Measured]:
    """Encode and decode recordings, resampled to a rate, at each of an anchor's compression levels, and measure.

    Its rate is of the whole file: these formats have no header that could be told apart.

    Raises:
        ValueError: For a name that is no anchor, or a rate that it has not.
    """
    if name not in ANCHORS:
        raise ValueError(f"{name!r} is no anchor: choose of {', '.join(ANCHORS)}")
    kind, subtype, levels = ANCHORS[name]
    for path in files:
        target = torch.cat([*open_recording(path, rate).blocks()], 1)
        seconds = target.shape[1] / rate
        for level in levels:
            file = io.BytesIO()
            try:
                samples = target.T.numpy()
                soundfile.write(file, samples, rate, format=kind, subtype=subtype, compression_level=level)
            except soundfile.LibsndfileError as error:
                raise ValueError(f"{name} of {rate} Hz cannot be written: {error.error_string}") from None
            kbps = len(file.getvalue()) * 8 / seconds / 1000
            file.seek(0)
            decoded = np.asarray(soundfile.read(file, always_2d=True)[0].T, dtype=np.float64)
            yield Measured(path, level, seconds, kbps, kbps, quality(target.numpy(), decoded, rate, metrics))
