"""The level at which a recording meets a rate."""

import math
from collections.abc import Iterable, Iterator
from typing import BinaryIO, final

import numpy as np
import torch
from numpy.typing import NDArray

from qcodec.bitstream.codes import Codes
from qcodec.bitstream.container import CHUNK_HEAD
from qcodec.bitstream.entropy import ideal_bits
from qcodec.bitstream.tables import Tables
from qcodec.functional import leading_mask

_LOWEST, _HIGHEST = 1e-4, 1e4  # levels that send one stage and, but for vanishing importance, every stage
_STEPS = 40


@final
class Spool:
    """Every code of a recording and what its rate is decided by, in a file: read once, sent at any level.

    Blocks are int32 arrays ``(C, N_q + 1, T)``: the codes of all stages, then the importance of each frame as the bits
    of a float32.

    Args:
        file: Temporary file that stays open while the spool is read.
        blocks: What is kept.
    """

    def __init__(self, file: BinaryIO, blocks: Iterable[NDArray[np.int32]]) -> None:
        self._file, self._count = file, 0
        for block in blocks:
            np.save(file, block, allow_pickle=False)
            self._count += 1

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        self._file.seek(0)
        for _ in range(self._count):
            yield np.load(self._file, allow_pickle=False)


def at_level(block: NDArray[np.int32], level: float) -> Codes:
    """Give the codes ``(C, N_q, T)`` of a block that are sent where importance rules, -1 for the others."""
    codes = block[:, :-1]
    importance = torch.from_numpy(np.ascontiguousarray(block[:, -1])).view(torch.float32)
    mask = leading_mask(importance * level * codes.shape[1], codes.shape[1], sharpness=1.0)
    return np.where(mask.numpy() > 0, codes, -1)


def level_for(spool: Spool, tables: Tables, bits: float) -> float:
    """Find the highest level whose chunks take no more than ``bits`` bits.

    Raises:
        ValueError: Where one stage a frame takes more.
    """

    def size(level: float) -> float:
        return sum(_size(ideal_bits(at_level(block, level), tables)) for block in spool)

    low, high = _LOWEST, _HIGHEST
    if size(high) <= bits:
        return high
    _check(size(low), bits)
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if size(middle) <= bits else (low, middle)
    return low


def stages_for(spool: Spool, tables: Tables, bits: float) -> int:
    """Find the largest number of stages for all frames whose chunks take no more than ``bits`` bits.

    Raises:
        ValueError: Where one stage takes more.
    """
    sizes = np.zeros(tables.stages)
    for block in spool:
        spent = np.zeros(())
        for stage, costs in enumerate(tables.code_bits):
            spent = spent + costs[block[:, stage]]
            sizes[stage] += _size(spent)
    _check(sizes[0], bits)
    return int((sizes <= bits).sum())


def _size(bits: NDArray[np.float64]) -> float:
    """Most bits of the chunk of these frames: the coder ends within two words of the ideal."""
    return float(bits.sum()) + 64 + 8 * CHUNK_HEAD.size


def _check(least: float, bits: float) -> None:
    if least > bits:
        raise ValueError(f"one codebook a frame takes {least / bits:.3g} times the rate asked for: ask for more")
