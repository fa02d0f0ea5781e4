"""Any codec as those see it who use it: recordings become files, and files recordings."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

Level = float | None


@dataclass(frozen=True)
class CodedFile:
    """What a codec writes of a recording.

    Attributes:
        content: The file.
        header: Bytes of it that say how to read the rest, and no audio.
        nominal_bits: What its codes take at a fixed length each, without entropy coding; ``None`` where it has none.
    """

    content: bytes
    header: int = 0
    nominal_bits: float | None = None


class FileCodec(ABC):
    """A codec that ``qcodec evaluate --codecs`` measures: a subclass says how files are made and read.

    Attributes:
        sample_rate: Of the audio that it takes and gives, in Hz.
        mono: Whether it takes one channel at a time, ``(1, L)``; each is a file of its own then.
    """

    sample_rate: int
    mono: bool = False

    def levels(self, most: int) -> Sequence[Level]:
        """Return up to a number of settings of its rate; by default it has one rate, ``None``."""
        return (None,)

    @abstractmethod
    def encode(self, audio: Tensor, levels: Sequence[Level]) -> Iterator[CodedFile]:
        """Yield a file of a recording ``(C, L)`` at each of some levels."""

    @abstractmethod
    def decode(self, content: bytes) -> Tensor:
        """Return the recording ``(C, L)`` of a file; its delay and its length may differ."""


def spread(levels: Sequence[float], most: int) -> tuple[float, ...]:
    """Return up to a number of levels, the first and the last among them.

    Example:
        >>> spread(range(1, 10), 3)
        (1, 5, 9)
    """
    if most >= len(levels):
        return tuple(levels)
    places = [round(k * (len(levels) - 1) / max(1, most - 1)) for k in range(most)]
    return tuple(levels[place] for place in places)
