"""The level at which a recording meets a rate."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qcodec.bitstream.code_cache import Block, CodeCache
from qcodec.bitstream.codes import Codes
from qcodec.bitstream.container import CHUNK_HEAD
from qcodec.bitstream.entropy import ideal_bits
from qcodec.bitstream.tables import Tables

_LOWEST, _HIGHEST = 1e-4, 1e4  # levels that send one stage and, but for vanishing importance, every stage
_STEPS = 40


def level_for(spool: CodeCache, sent: Callable[[Block, float], Codes], tables: Tables, bits: float) -> float:
    """Find the highest level whose chunks take no more than ``bits`` bits, where ``sent`` gives a level's codes.

    Raises:
        ValueError: Where one stage a frame takes more.
    """

    def size(level: float) -> float:
        return sum(_size(ideal_bits(sent(block, level), tables)) for block in spool)

    low, high = _LOWEST, _HIGHEST
    if size(high) <= bits:
        return high
    _check(size(low), bits)
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if size(middle) <= bits else (low, middle)
    return low


def stages_for(spool: CodeCache, tables: Tables, bits: float) -> int:
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
