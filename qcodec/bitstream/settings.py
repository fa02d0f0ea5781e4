"""How a recording is to be encoded."""

import math
from dataclasses import dataclass
from typing import final

WINDOW = 192  # frames that go through the network at once, where nothing else is asked for


@final
@dataclass(frozen=True)
class Settings:
    """What may be chosen at encoding; the decoder needs none of it.

    Attributes:
        level: The model's rate dial: a number of stages, or the level of an ``ImportanceMask``; the model's own if
            neither this nor ``kbps`` is given.
        kbps: Most kilobits per second of audio, all channels and chunks together, the header apart.
        loudness: Loudness in LUFS (ITU-R BS.1770-4) that a recording is brought to before it is encoded, all channels
            by one gain that decoding undoes; kept below clipping. ``None`` leaves recordings as they are: what is
            decoded is then the model's own output. Models that were trained on clips of one loudness, such as those
            of the Descript Audio Codec at -16 LUFS, do best near it.

    Raises:
        ValueError: For both a level and a rate, or numbers without meaning.
    """

    level: float | None = None
    kbps: float | None = None
    loudness: float | None = None

    def __post_init__(self) -> None:
        if self.level is not None and self.kbps is not None:
            raise ValueError(f"level={self.level} and kbps={self.kbps} both decide the rate: give one")
        if self.kbps is not None and not 0 < self.kbps < math.inf:
            raise ValueError(f"kbps={self.kbps} is no rate: give a positive number of kilobits per second")
        if self.loudness is not None and not -70 < self.loudness <= 0:
            raise ValueError(f"loudness={self.loudness} is none in LUFS: give a number from -70 to 0, such as -16")
