"""Blocks of codes as arrays ``(C, N, T)``: channel, code of a frame, frame; -1 where a code is not sent."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[Any]


def depth_of(codes: Codes) -> NDArray[np.int64]:
    """Return the number of codes that each frame sends, ``(C, T)``.

    Raises:
        ValueError: Where a frame sends none, or leaves one out before its last.

    Example:
        >>> depth_of(np.array([[[3, 5], [-1, 2]]])).tolist()
        [[1, 2]]
    """
    sent = codes >= 0
    depth: NDArray[np.int64] = sent.sum(1)
    if not np.array_equal(sent, np.arange(codes.shape[1])[:, None] < depth[:, None]) or (depth < 1).any():
        raise ValueError("a frame must send its first codes, one at least: what skips some has no file")
    return depth


def leading(codes: Codes, depth: NDArray[np.int64]) -> Codes:
    """Return codes ``(C, N, T)`` with -1 beyond a depth ``(C, T)``."""
    return np.where(np.arange(codes.shape[1])[:, None] < depth[:, None], codes, -1)


def regroup(blocks: Iterable[Codes], frames: int) -> Iterator[Codes]:
    """Return the same frames in blocks of ``frames`` each, the last of what is left.

    Example:
        >>> [block.shape[-1] for block in regroup([np.zeros((1, 2, 5))] * 3, frames=4)]
        [4, 4, 4, 3]
    """
    held: list[Codes] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += block.shape[-1]
        while count >= frames:
            joined = np.concatenate(held, -1)
            yield joined[..., :frames]
            held, count = [joined[..., frames:]], count - frames
    if count:
        yield np.concatenate(held, -1)
