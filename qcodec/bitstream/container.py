"""Files of chunks, each with its number of frames, its size and a checksum."""

import dataclasses
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, final

from qcodec.bitstream.header import Header, check_lengths, header_bytes, read_header

CHUNK_FRAMES = 4096  # what bounds the memory that a chunk of a damaged file can ask for
CHUNK_HEAD = struct.Struct("<III")  # frames, bytes of payload, CRC-32 of both numbers and the payload


@final
@dataclass(frozen=True)
class Chunk:
    """A stretch of all channels.

    Attributes:
        frames: Number of frames per channel.
        payload: Their codes.
    """

    frames: int
    payload: bytes


@final
class ChunkWriter:
    """Writes chunks after a header, which is written again when its length in samples is known.

    Args:
        file: Open for writing, can be sought.
        header: With a length that may still change.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file, self._header, self._frames = file, header, 0
        self.header_size = file.write(header_bytes(header))

    def write(self, chunk: Chunk) -> None:
        """Append a chunk of up to ``CHUNK_FRAMES`` frames."""
        head = struct.pack("<II", chunk.frames, len(chunk.payload))
        checksum = zlib.crc32(chunk.payload, zlib.crc32(head))
        self._file.write(head + struct.pack("<I", checksum) + chunk.payload)
        self._frames += chunk.frames

    def close(self, length: int) -> Header:
        """Write the final header over the first; the file stays open.

        Raises:
            ValueError: For a length that the chunks do not have, or that is not the recording's own.
        """
        header = dataclasses.replace(self._header, length=length)
        if header.frames != self._frames:
            raise ValueError(f"{self._frames} frames were written for a length of {length} samples")
        check_lengths(header)
        self._file.seek(0)
        self._file.write(header_bytes(header))
        self._file.seek(0, io.SEEK_END)
        return header


def read_chunks(file: BinaryIO, header: Header) -> Iterator[Chunk]:
    """Read the chunks that follow a header, one at a time, and check that they are those of the whole recording.

    Raises:
        ValueError: For a file that is cut off, damaged or too long.
    """
    here = file.tell()
    left, missing = file.seek(0, io.SEEK_END) - here, header.frames
    file.seek(here)
    if missing > left // CHUNK_HEAD.size * CHUNK_FRAMES:
        raise ValueError(f"is cut off: {left} bytes cannot hold its {missing} frames")
    while missing:
        if left < CHUNK_HEAD.size:
            raise ValueError(f"is cut off: {missing} of {header.frames} frames are missing")
        frames, size, checksum = CHUNK_HEAD.unpack(file.read(CHUNK_HEAD.size))
        left -= CHUNK_HEAD.size
        if not 1 <= frames <= min(missing, CHUNK_FRAMES):
            raise ValueError(f"is damaged: a chunk claims {frames} frames")
        if size > left:
            raise ValueError(f"is cut off: {missing} of {header.frames} frames are missing or damaged")
        payload = file.read(size)
        if zlib.crc32(payload, zlib.crc32(struct.pack("<II", frames, size))) != checksum:
            raise ValueError("is damaged: the checksum of a chunk is wrong")
        left, missing = left - size, missing - frames
        yield Chunk(frames, payload)
    if left:
        raise ValueError(f"has {left} bytes after its end")


def check_file(file: BinaryIO) -> Header:
    """Read a whole file, check every checksum and return its header.

    Raises:
        ValueError: As for ``read_header`` and ``read_chunks``.
    """
    header = read_header(file)
    for _ in read_chunks(file, header):
        pass
    return header
