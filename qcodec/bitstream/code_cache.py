"""Blocks of a recording in a temporary file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, final

import numpy as np
from numpy.typing import NDArray

from qcodec.bitstream.codes import Codes


@final
@dataclass(frozen=True)
class CodeBlock:
    """Frames of a recording, whatever level they are sent at.

    Attributes:
        codes: ``(C, N, T)`` every code, int32.
        decisions: ``(C, R, T)`` what the allocator decides by, float32.
    """

    codes: Codes
    decisions: NDArray[np.float32]


@final
class CodeCache:
    """Keeps blocks in a file, so that they can be read any number of times without the memory of all at once.

    Args:
        file: Temporary file that stays open while the cache is read.
        blocks: What is kept; read once.
    """

    def __init__(self, file: BinaryIO, blocks: Iterable[CodeBlock]) -> None:
        self._file, self._count = file, 0
        for block in blocks:
            np.save(file, block.codes.astype(np.int32), allow_pickle=False)
            np.save(file, block.decisions, allow_pickle=False)
            self._count += 1

    def __iter__(self) -> Iterator[CodeBlock]:
        self._file.seek(0)
        for _ in range(self._count):
            codes = np.load(self._file, allow_pickle=False)
            yield CodeBlock(codes, np.load(self._file, allow_pickle=False))
