"""Integer frequency tables that codes and depths are entropy-coded with."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import constriction
import numpy as np
from numpy.typing import NDArray

from qcodec.bitstream.codes import depth_of

Integers = NDArray[np.int64]
_TOTAL = 1 << 20  # what a fitted row sums to, about: the finest share that a table can state
_LARGEST = 1 << 31


@final
@dataclass(frozen=True)
class Tables:
    """Static frequencies; a symbol of frequency ``f`` in a row that sums to ``F`` costs ``log2(F / f)`` bits.

    Attributes:
        codes: ``(n, K)`` frequencies of the codes of each stage.
        depth: ``(n + 1, n)`` frequencies of a frame's depth 1 to ``n`` (columns) by the depth of the frame before it
            (rows; row 0 for the first frame of a chunk), or ``None`` where every frame sends all ``n`` stages.

    Raises:
        ValueError: For other shapes, or frequencies outside of 1 to 2^31 - 1.

    Example:
        >>> tables = uniform_tables(stages=8, codebook_size=1024)
        >>> tables.code_bits.sum(0)[0].item(), tables.depth_bits[0, 0].item()
        (80.0, 3.0)
    """

    codes: Integers
    depth: Integers | None

    def __post_init__(self) -> None:
        arrays = [self.codes] if self.depth is None else [self.codes, self.depth]
        stages = self.codes.shape[0] if self.codes.ndim == 2 else 0
        shapes = [(stages, self.codes.shape[-1]), (stages + 1, stages)]
        if not self.codes.size or [array.shape for array in arrays] != shapes[: len(arrays)]:
            raise ValueError(f"tables of shapes {[array.shape for array in arrays]} are none of codes and depths")
        if any(array.dtype.kind not in "iu" or array.min() < 1 or array.max() >= _LARGEST for array in arrays):
            raise ValueError("tables must hold whole frequencies from 1 to 2^31 - 1: fit them again")

    @property
    def stages(self) -> int:
        """Number of stages, n."""
        return len(self.codes)

    def constant(self, stages: int) -> "Tables":
        """Give the tables of a stream whose every frame sends the first ``stages`` stages."""
        return Tables(self.codes[:stages], None)

    @cached_property
    def id(self) -> str:
        """Name by content: equal tables have equal names, on every machine."""
        parts = [self.codes] if self.depth is None else [self.codes, self.depth]
        digest = hashlib.blake2b(repr([part.shape for part in parts]).encode(), digest_size=8)
        for part in parts:
            digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def code_bits(self) -> NDArray[np.float64]:
        """``(n, K)`` bits that each code costs."""
        return _bits(self.codes)

    @cached_property
    def depth_bits(self) -> NDArray[np.float64]:
        """``(n + 1, n)`` bits that each depth costs; zeros where no depth is sent."""
        return np.zeros((self.stages + 1, self.stages)) if self.depth is None else _bits(self.depth)

    @cached_property
    def code_models(self) -> list[Any]:
        """The entropy coder's model of each stage."""
        return _models(self.codes)

    @cached_property
    def depth_models(self) -> list[Any]:
        """The entropy coder's model of a depth, by the depth before it."""
        return [] if self.depth is None else _models(self.depth)


def uniform_tables(stages: int, codebook_size: int) -> Tables:
    """Give tables in which everything is equally likely: symbols are packed to their bits."""
    return Tables(np.ones((stages, codebook_size), np.int64), np.ones((stages + 1, stages), np.int64))


def fit_tables(codes: Iterable[NDArray[Any]], stages: int, codebook_size: int) -> Tables:
    """Fit tables to codes that were sent.

    Each count is raised by one half a symbol (Krichevsky and Trofimov, "The performance of universal encoding", IEEE
    Trans. Inf. Theory 27(2), 1981), so that what was never seen can be sent too, and scaled to whole numbers.

    Args:
        codes: Arrays ``(C, stages, T)``, one for each stretch of frames; -1 where a stage is not sent.
        stages: Number of stages.
        codebook_size: Codes per stage.

    Example:
        >>> tables = fit_tables([np.zeros((1, 2, 1000), np.int64)], stages=2, codebook_size=16)
        >>> bool(tables.code_bits[0, 0] < 0.02 and tables.code_bits[0, 1] > 10)
        True
    """
    code_counts = np.zeros((stages, codebook_size + 1), np.int64)
    depth_counts = np.zeros((stages + 1, stages + 1), np.int64)
    for block in codes:
        for stage in range(stages):
            code_counts[stage] += np.bincount(block[:, stage].ravel() + 1, minlength=codebook_size + 1)
        depth = depth_of(block)
        before = np.pad(depth[:, :-1], ((0, 0), (1, 0)))
        np.add.at(depth_counts, (before, depth), 1)
    return Tables(_whole(code_counts[:, 1:]), _whole(depth_counts[:, 1:]))


def _whole(counts: Integers) -> Integers:
    raised = counts + 0.5
    scaled = raised * (_TOTAL / raised.sum(1, keepdims=True))
    whole: Integers = np.maximum(np.rint(scaled), 1).astype(np.int64)
    return whole


def _bits(frequencies: Integers) -> NDArray[np.float64]:
    bits: NDArray[np.float64] = np.log2(frequencies.sum(1, keepdims=True)) - np.log2(frequencies)
    return bits


def _models(frequencies: Integers) -> list[Any]:
    return [constriction.stream.model.Categorical(row.astype(np.float64), perfect=False) for row in frequencies]
