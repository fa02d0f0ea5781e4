"""A recording between the encoder and a file."""

from dataclasses import dataclass
from typing import final

from qcodec.audio.reading import Recording
from qcodec.bitstream.code_cache import CodeCache
from qcodec.bitstream.rate_control import Dial


@final
@dataclass(frozen=True)
class EncodedRecording:
    """A recording that the encoder is done with.

    Attributes:
        recording: As it was encoded, amplified.
        samples: Samples per channel at the codec's rate.
        gain_db: What it was amplified by.
        loudness: What loudness was asked for, as in ``Settings``.
        spool: Every code.
        dial: Says which are sent.
    """

    recording: Recording
    samples: int
    gain_db: float
    loudness: float | None
    spool: CodeCache
    dial: Dial
