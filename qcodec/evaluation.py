"""What a codec makes of recordings at several rates, measured on the files that it writes."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch

from qcodec.bitstream.header import header_bytes
from qcodec.bitstream.recording import open_recording, recording_of
from qcodec.bitstream.settings import Settings
from qcodec.bitstream.stream import Bitstream
from qcodec.losses.spectral import MelLoss


@final
@dataclass(frozen=True)
class Measured:
    """One recording at one level.

    Attributes:
        file: The recording.
        level: Rate dial that it was encoded at.
        seconds: Its duration.
        kbps: Size of its file after the header, side information and checksums included, over its duration, all
            channels together.
        mel: ``MelLoss`` between what the file decodes to and the recording, at the codec's rate.
    """

    file: Path
    level: float
    seconds: float
    kbps: float
    mel: float


def rate_levels(bitstream: Bitstream, points: int) -> list[float]:
    """Give levels from the lowest rate to the highest: geometric from 0.125 to 6 where importance rules, else depths.

    Example:
        >>> from qcodec import DacCodec, ResidualVQ
        >>> quantizer = ResidualVQ(dim=8, n_codebooks=4, codebook_size=32, codebook_dim=4)
        >>> codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(4,), decoder_dim=8)
        >>> rate_levels(Bitstream(codec), points=3)
        [1.0, 2.0, 4.0]
    """
    if bitstream.per_frame:
        return [float(level) for level in np.geomspace(0.125, 6.0, points)]
    depths = np.linspace(1, bitstream.quantizer.n_codebooks, points)
    return sorted({float(depth) for depth in np.round(depths)})


@torch.no_grad()
def evaluate(bitstream: Bitstream, files: Sequence[Path], levels: Sequence[float]) -> Iterator[Measured]:
    """Encode each recording at each level, decode it, and measure both.

    Raises:
        ValueError: For a file that is no audio, or a level that the model does not have.
    """
    rate = bitstream.codec.sample_rate
    distance = MelLoss(rate)
    for path in files:
        target = torch.cat([*open_recording(path, rate).blocks()], 1)
        recording = recording_of(target, rate)  # read and resampled once for all levels
        for level in levels:
            file = io.BytesIO()
            header = bitstream.encode(recording, file, Settings(level=level))
            size = file.tell() - len(header_bytes(header))
            file.seek(0)
            decoded = torch.cat([*bitstream.decode(file).blocks], 1)
            seconds = target.shape[1] / rate
            try:
                mel = float(distance(decoded.unsqueeze(1), target.unsqueeze(1)))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            yield Measured(path, level, seconds, size * 8 / seconds / 1000, mel)
