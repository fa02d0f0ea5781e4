"""What a codec makes of recordings at several rates, measured on the files that it writes."""

import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, final

import torch
from torch import Tensor

from qcodec.audio.reading import open_recording, recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.header import header_bytes
from qcodec.bitstream.out_of_memory import fitting_memory
from qcodec.losses.spectral import MelLoss


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
        mel: ``MelLoss`` between what the file decodes to and the recording, at the codec's rate.
    """

    file: Path
    level: float | None
    seconds: float
    kbps: float
    mel: float


def evaluate(bitstream: Bitstream, files: Sequence[Path], levels: Sequence[float | None]) -> Iterator[Measured]:
    """Encode each recording once, send it at each level, decode that, and measure both.

    A recording and what it decodes to at one level are held in memory whole, as the distance is between whole signals:
    two minutes of stereo at 44.1 kHz are 42 MB each, and the distance takes several times that.

    Raises:
        ValueError: For a file that is no audio or does not fit the device, or a level that the model does not have.
    """
    distance = MelLoss(bitstream.codec.sample_rate)
    for path in files:
        with fitting_memory(bitstream, path):
            yield from _measured(bitstream, path, levels, distance)


def _measured(
    bitstream: Bitstream, path: Path, levels: Sequence[float | None], distance: MelLoss
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
            size = file.tell() - len(header_bytes(header))
            try:
                mel = _distance(bitstream, file, target, distance)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            yield Measured(path, level, seconds, size * 8 / seconds / 1000, mel)


@torch.no_grad()
def _distance(bitstream: Bitstream, file: BinaryIO, target: Tensor, distance: MelLoss) -> float:
    file.seek(0)
    decoded = torch.cat([*Decoder(bitstream).decode(file).blocks], 1)
    return float(distance(decoded.unsqueeze(1), target.unsqueeze(1)))
