"""What a file says of itself before its codes."""

import dataclasses
import json
import math
import struct
import zlib
from dataclasses import dataclass
from itertools import groupby
from typing import Any, BinaryIO, final

MAGIC = b"\x8aqc\n"  # no text, and spoilt by programs that change line ends
VERSION = 2
MAX_CHANNELS = 255
_PREFIX = struct.Struct("<4sHII")  # magic, version, bytes of JSON, their CRC-32
_MAX_JSON = 4096
_MOST = {"sample_rate": 2**24, "original_rate": 2**24, "channels": MAX_CHANNELS, "hop_length": 2**24}
_MOST |= {"length": 2**53, "original_length": 2**53}
MOST_CODES, MOST_SYMBOLS = 4096, 2**24  # of a frame, and of each code


@final
@dataclass(frozen=True)
class Header:
    """What must be known before the first code is read.

    Attributes:
        model: Fingerprint of what decodes.
        tables: Name of the tables that codes are coded with.
        sample_rate: Rate of the decoded audio in Hz.
        channels: Number of channels; each is coded as a clip of its own.
        length: Samples per channel at ``sample_rate``.
        original_rate: Rate of the recording that was encoded, in Hz.
        original_length: Its samples per channel.
        code_sizes: Symbols of each code that a frame can send.
        hop_length: Samples per frame at ``sample_rate``.
        depth: ``"constant"`` where every frame sends all codes, ``"coded"`` where each tells how many.
        gain_db: What the recording was amplified by before it was encoded; undone in decoding.
        level: Rate dial that it was encoded at; ``None`` for the model's full rate.
        kbps: Rate that was asked for, or ``None``.
        loudness: Loudness in LUFS that was asked for, or ``None``.
    """

    model: str
    tables: str
    sample_rate: int
    channels: int
    length: int
    original_rate: int
    original_length: int
    code_sizes: tuple[int, ...]
    hop_length: int
    depth: str
    gain_db: float = 0.0
    level: float | None = None
    kbps: float | None = None
    loudness: float | None = None

    @property
    def frames(self) -> int:
        """Frames per channel."""
        return -(-self.length // self.hop_length)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.length / self.sample_rate


def check_lengths(header: Header) -> None:
    """Check that a recording's own length and rate are those of its length at the codec's rate, to a sample.

    Raises:
        ValueError: Where they are not: what one of them says could not be held against the file.
    """
    expected = -(-header.original_length * header.sample_rate // header.original_rate)
    if abs(expected - header.length) > 1:
        raise ValueError(
            f"has a header whose lengths disagree: {header.original_length} samples at {header.original_rate} Hz are "
            f"{expected} at {header.sample_rate} Hz, and it says {header.length}"
        )


def header_bytes(header: Header) -> bytes:
    """Return a header's bytes; headers that differ in length alone are equally long.

    Example:
        >>> header = Header("model", "tables", 16000, 1, 320, 16000, 320, (1024,) * 12, 320, "constant")
        >>> len(header_bytes(header)) == len(header_bytes(dataclasses.replace(header, length=10**9)))
        True
    """
    runs = [[size, len(list(same))] for size, same in groupby(header.code_sizes)]
    values = dataclasses.asdict(header) | {"code_sizes": runs, "frame_rate": header.frame_rate}
    widest = values | {"length": 2**53}
    text = json.dumps(values).encode().ljust(len(json.dumps(widest)))
    return _PREFIX.pack(MAGIC, VERSION, len(text), zlib.crc32(text)) + text


def read_header(file: BinaryIO) -> Header:
    """Read the header at the beginning of a file, which is left at its first chunk.

    Raises:
        ValueError: For a file that is empty, foreign, of another version, cut off or damaged.
    """
    start = file.read(_PREFIX.size)
    if not start:
        raise ValueError("is empty")
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise ValueError("is no .qc file: give one that `qcodec encode` wrote, or a .dac file")
    if len(start) < _PREFIX.size:
        raise ValueError("is cut off within its header")
    _, version, size, checksum = _PREFIX.unpack(start)
    if version != VERSION:
        raise ValueError(f"is of version {version}, and this program reads version {VERSION}: use a matching one")
    if size > _MAX_JSON:
        raise ValueError(f"has a damaged header: it claims {size} bytes")
    text = file.read(size)
    if len(text) < size:
        raise ValueError("is cut off within its header")
    if zlib.crc32(text) != checksum:
        raise ValueError("has a damaged header: its checksum is wrong")
    return _parsed(text)


def _parsed(text: bytes) -> Header:
    try:
        values = json.loads(text)
        values.pop("frame_rate")
        header = Header(**(values | {"code_sizes": _code_sizes(values["code_sizes"])}))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise ValueError("has a header that is none of a .qc file") from None
    for name, most in _MOST.items():
        value = getattr(header, name)
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"has a header with {name}={value!r:.40}: it must be a whole number from 1 to {most}")
    check_lengths(header)
    numbers = (header.gain_db, *(v for v in (header.level, header.kbps, header.loudness) if v is not None))
    texts = (header.model, header.tables)
    sound = all(type(v) in (int, float) and math.isfinite(v) for v in numbers) and abs(header.gain_db) <= 200
    if not sound or not all(isinstance(v, str) for v in texts) or header.depth not in ("constant", "coded"):
        raise ValueError("has a header with values that mean nothing")
    return header


def _code_sizes(runs: Any) -> tuple[int, ...]:
    """Read pairs of symbols and how many codes in a row have so many."""
    sizes: list[int] = []
    for size, count in runs:
        if type(size) is not int or type(count) is not int or not 2 <= size <= MOST_SYMBOLS:
            raise ValueError(f"a code of {size!r:.40} symbols")
        if not 1 <= count <= MOST_CODES - len(sizes):
            raise ValueError(f"{count!r:.40} codes")
        sizes += [size] * count
    if not sizes:
        raise ValueError("no code")
    return tuple(sizes)
