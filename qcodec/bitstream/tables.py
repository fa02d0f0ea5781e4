"""Integer frequency tables that codes and depths are entropy-coded with."""

import hashlib
from collections.abc import Iterable, Sequence
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
        codes: ``(K_i,)`` frequencies of the symbols of each code of a frame.
        depth: ``(N + 1, N)`` frequencies of a frame's depth 1 to ``N`` (columns) by the depth of the frame before it
            (rows; row 0 for the first frame of a chunk), or ``None`` where every frame sends all ``N`` codes.

    Raises:
        ValueError: For other shapes, or frequencies outside of 1 to 2^31 - 1.

    Example:
        >>> tables = uniform_tables((1024,) * 8, depth=True)
        >>> sum(bits[0].item() for bits in tables.code_bits), tables.depth_bits[0, 0].item()
        (80.0, 3.0)
    """

    codes: tuple[Integers, ...]
    depth: Integers | None

    def __post_init__(self) -> None:
        arrays = [*self.codes] if self.depth is None else [*self.codes, self.depth]
        right = all(array.ndim == 1 and array.size for array in self.codes) and self.codes
        if not right or (self.depth is not None and self.depth.shape != (len(self.codes) + 1, len(self.codes))):
            raise ValueError(f"tables of shapes {[array.shape for array in arrays]} are none of codes and depths")
        distinct = {id(array): array for array in arrays}.values()
        if any(array.dtype.kind not in "iu" or array.min() < 1 or array.max() >= _LARGEST for array in distinct):
            raise ValueError("tables must hold whole frequencies from 1 to 2^31 - 1: fit them again")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Symbols of each code."""
        return tuple(len(row) for row in self.codes)

    def constant(self, depth: int) -> "Tables":
        """Return the tables of a stream whose every frame sends the first ``depth`` codes."""
        return Tables(self.codes[:depth], None)

    @cached_property
    def id(self) -> str:
        """Name by content: equal tables have equal names, on every machine."""
        parts = [*self.codes] if self.depth is None else [*self.codes, self.depth]
        digest = hashlib.blake2b(repr([part.shape for part in parts]).encode(), digest_size=8)
        for part in parts:
            digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def code_bits(self) -> list[NDArray[np.float64]]:
        """``(K_i,)`` bits that each symbol of each code costs."""
        made = {id(row): _bits(row) for row in self.codes}
        return [made[id(row)] for row in self.codes]

    @cached_property
    def depth_bits(self) -> NDArray[np.float64]:
        """``(N + 1, N)`` bits that each depth costs; zeros where no depth is sent."""
        return np.zeros((len(self.codes) + 1, len(self.codes))) if self.depth is None else _bits(self.depth)

    @cached_property
    def code_models(self) -> list[Any]:
        """The entropy coder's model of each code."""
        made = {id(row): _model(row) for row in self.codes}
        return [made[id(row)] for row in self.codes]

    @cached_property
    def depth_models(self) -> list[Any]:
        """The entropy coder's model of a depth, by the depth before it."""
        return [] if self.depth is None else [_model(row) for row in self.depth]


def uniform_tables(sizes: Sequence[int], depth: bool) -> Tables:
    """Return tables in which everything is equally likely: symbols are packed to their bits.

    Args:
        sizes: Symbols of each code of a frame.
        depth: Whether frames tell how many codes they send.
    """
    rows = {size: np.ones(size, np.int64) for size in set(sizes)}
    count = len(sizes)
    return Tables(tuple(rows[size] for size in sizes), np.ones((count + 1, count), np.int64) if depth else None)


def fit_tables(codes: Iterable[NDArray[Any]], sizes: Sequence[int], depth: bool) -> Tables:
    """Fit tables to codes that were sent.

    Each count is raised by one half a symbol (Krichevsky and Trofimov, "The performance of universal encoding", IEEE
    Trans. Inf. Theory 27(2), 1981), so that what was never seen can be sent too, and scaled to whole numbers.

    Args:
        codes: Arrays ``(C, N, T)``, one for each stretch of frames; -1 where a code is not sent.
        sizes: Symbols of each of the ``N`` codes.
        depth: Whether frames tell how many codes they send.

    Example:
        >>> tables = fit_tables([np.zeros((1, 2, 1000), np.int64)], sizes=(16, 16), depth=False)
        >>> bool(tables.code_bits[0][0] < 0.02 and tables.code_bits[0][1] > 10)
        True
    """
    counts = [np.zeros(size + 1, np.int64) for size in sizes]
    depths = np.zeros((len(sizes) + 1, len(sizes) + 1), np.int64)
    for block in codes:
        for index, row in enumerate(counts):
            row += np.bincount(block[:, index].ravel() + 1, minlength=len(row))
        found = depth_of(block)
        np.add.at(depths, (np.pad(found[:, :-1], ((0, 0), (1, 0))), found), 1)
    return Tables(tuple(_whole(row[1:]) for row in counts), _whole(depths[:, 1:]) if depth else None)


def _whole(counts: Integers) -> Integers:
    raised = counts + 0.5
    scaled = raised * (_TOTAL / raised.sum(-1, keepdims=True))
    whole: Integers = np.maximum(np.rint(scaled), 1).astype(np.int64)
    return whole


def _bits(frequencies: Integers) -> NDArray[np.float64]:
    bits: NDArray[np.float64] = np.log2(frequencies.sum(-1, keepdims=True)) - np.log2(frequencies)
    return bits


def _model(frequencies: Integers) -> Any:
    return constriction.stream.model.Categorical(frequencies.astype(np.float64), perfect=False)
