"""What a codec makes of recordings at several rates, measured on the files that it writes."""

import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from qcodec.audio.reading import open_recording, recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.header import header_bytes
from qcodec.bitstream.out_of_memory import fitting_memory
from qcodec.evaluation.quality import Quality, QualityMetric, quality


@final
@dataclass(frozen=True)
class Measured:
    """One recording at one level.

    Attributes:
        file: The recording.
        level: Rate dial that it was encoded at; ``None`` for a model of one rate.
        seconds: Its duration.
        kbps: Size of its file after the header, side information and checksums included, over its duration, all
            channels together.
        file_kbps: Size of the whole file over its duration.
        quality: What it decodes to, measured against the recording at the codec's rate.
    """

    file: Path
    level: float | None
    seconds: float
    kbps: float
    file_kbps: float
    quality: Quality


def evaluate(
    bitstream: Bitstream, files: Sequence[Path], levels: Sequence[float | None], metrics: Sequence[QualityMetric]
) -> Iterator[Measured]:
    """Encode each recording once, send it at each level, decode that, and measure both.

    A recording and what it decodes to at one level are held in memory whole, as the distance is between whole signals:
    two minutes of stereo at 44.1 kHz are 42 MB each, and the distance takes several times that.

    Raises:
        ValueError: For a file that is no audio or does not fit the device, or a level that the model does not have.
    """
    for path in files:
        with fitting_memory(bitstream, path):
            yield from _measured(bitstream, path, levels, metrics)


def _measured(
    bitstream: Bitstream, path: Path, levels: Sequence[float | None], metrics: Sequence[QualityMetric]
) -> Iterator[Measured]:
    rate = bitstream.codec.sample_rate
    target = torch.cat([*open_recording(path, rate).blocks()], 1)
    seconds = target.shape[1] / rate
    with tempfile.TemporaryFile() as part:
        encoder = Encoder(bitstream)
        encoded = encoder.analyse(recording_of(target, rate), part, levels)
        for level in levels:
            file = io.BytesIO()
            header = encoder.send(encoded, file, level)
            whole, payload = (
                8 * size / seconds / 1000 for size in (file.tell(), file.tell() - len(header_bytes(header)))
            )
            file.seek(0)
            try:
                decoded = torch.cat([*Decoder(bitstream).decode(file).blocks], 1)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            found = quality(target.numpy(), decoded.numpy(), rate, metrics)
            yield Measured(path, level, seconds, payload, whole, found)
