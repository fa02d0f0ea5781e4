"""What is kept of a recording in a temporary file."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO, final

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.int32]


@final
class CodeCache:
    """Blocks in a file, so that they can be read any number of times without the memory of all at once.

    Blocks are int32 arrays ``(C, N_q + r, T)``: the codes of all stages, then ``r`` rows that a ``Dial`` decides by.

    Args:
        file: Temporary file that stays open while the spool is read.
        blocks: What is kept; read once.
    """

    def __init__(self, file: BinaryIO, blocks: Iterable[Block]) -> None:
        self._file, self._count = file, 0
        for block in blocks:
            np.save(file, block, allow_pickle=False)
            self._count += 1

    def __iter__(self) -> Iterator[Block]:
        self._file.seek(0)
        for _ in range(self._count):
            yield np.load(self._file, allow_pickle=False)
