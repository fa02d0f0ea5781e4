"""A recording between the encoder and a file."""

from dataclasses import dataclass
from typing import final

from qcodec.audio.reading import Recording
from qcodec.bitstream.code_cache import CodeCache


@final
@dataclass(frozen=True)
class EncodedRecording:
    """A recording that went through the encoder, with every code, to be sent at any level.

    Attributes:
        recording: As it was encoded, amplified.
        samples: Samples per channel at the codec's rate.
        gain_db: What it was amplified by.
        loudness: What loudness was asked for, as in ``Settings``.
        cache: Its codes.
        levels: Levels that were known at encoding.
    """

    recording: Recording
    samples: int
    gain_db: float
    loudness: float | None
    cache: CodeCache
    levels: tuple[float | None, ...]
