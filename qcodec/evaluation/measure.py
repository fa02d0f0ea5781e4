"""What codecs make of recordings at several rates, measured on the files that they write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from qcodec.audio.reading import open_recording
from qcodec.evaluation.file_codec import FileCodec, Level
from qcodec.evaluation.quality import Quality, QualityMetric, quality


@final
@dataclass(frozen=True)
class Measured:
    """One recording at one level.

    Attributes:
        file: The recording.
        level: Rate dial that it was encoded at; ``None`` for a codec of one rate.
        seconds: Its duration.
        kbps: Size of its file after the header, side information and checksums included, over its duration, all
            channels together.
        file_kbps: Size of the whole file over its duration.
        nominal_kbps: What its codes would take at a fixed length each; ``None`` where a codec has no such codes.
        quality: What it decodes to, measured against the recording at the codec's rate.
    """

    file: Path
    level: Level
    seconds: float
    kbps: float
    file_kbps: float
    nominal_kbps: float | None
    quality: Quality


def measure(
    codec: FileCodec, path: Path, levels: Sequence[Level], metrics: Sequence[QualityMetric]
) -> Iterator[Measured]:
    """Encode a recording at each level, decode the files, and measure what comes back.

    It and what it decodes to at one level are held in memory whole, as distances are between whole signals: two minutes
    of stereo at 44.1 kHz are 42 MB each, and the distance takes several times that.

    Raises:
        ValueError: For a file that is no audio or that the codec does not take, or a level that it does not have.
    """
    rate = codec.sample_rate
    target = torch.cat([*open_recording(path, rate).blocks()], 1)
    seconds = target.shape[1] / rate
    try:
        groups = torch.split(target, 1) if codec.mono else (target,)
        for level, *files in zip(levels, *(codec.encode(group, levels) for group in groups), strict=True):
            bits = [8 * len(file.content) for file in files], [8 * file.header for file in files]
            whole, header = (sum(each) / seconds / 1000 for each in bits)
            nominal = [file.nominal_bits for file in files if file.nominal_bits is not None]
            fixed = sum(nominal) / seconds / 1000 if len(nominal) == len(files) else None
            decoded = torch.cat([codec.decode(file.content) for file in files])
            found = quality(target.numpy(), decoded.cpu().numpy(), rate, metrics)
            yield Measured(path, level, seconds, whole - header, whole, fixed, found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
