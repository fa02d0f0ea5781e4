"""Signals of any length through a network in windows of one shape, with the result of the whole."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.receptive_field import ReceptiveField


@final
@dataclass(frozen=True)
class Window:
    """A stretch of a signal.

    Attributes:
        data: ``(C, rows, n)``, a view: the frames that are kept and their field.
        start: First frame of the data whose result is kept.
        stop: End of those frames.
        first: Number of the data's first frame in the signal.
    """

    data: Tensor
    start: int
    stop: int
    first: int


def windows(blocks: Iterable[Tensor], unit: int, size: int, field: ReceptiveField | None) -> Iterator[Window]:
    """Cut a signal that comes in blocks into windows whose results join to that of the whole.

    All windows have ``size`` frames, whatever the blocks; a shorter signal is one window. Only at the two ends of the
    signal does a window end where its results are kept, so that a network pads there alone, as it would for the whole.
    No more than about two windows are held.

    Args:
        blocks: ``(C, rows, n)`` each, of any ``n``.
        unit: Samples per frame; the last frame may be a part.
        size: Frames of a window, more than its field.
        field: Frames that a result depends on; ``None`` for all, which makes one window of the whole signal.

    Example:
        >>> blocks = [torch.arange(5.0).view(1, 1, 5)] * 4
        >>> [(w.data.shape[-1], w.start, w.stop) for w in windows(blocks, 1, 8, ReceptiveField(2, 1))]
        [(8, 0, 7), (8, 2, 7), (8, 2, 7), (8, 5, 8)]
    """
    if field is None:
        whole = torch.cat(list(blocks), -1)
        yield Window(whole, 0, -(-whole.shape[-1] // unit), 0)
        return
    held, first, kept = torch.empty(0), 0, 0  # the buffer, the frame it begins with, the frames given so far
    for block in blocks:
        held = torch.cat([held, block], -1) if held.numel() else block
        while held.shape[-1] > (max(0, kept - field.left) + size - first) * unit:  # the signal goes on after it
            begin = max(0, kept - field.left)
            held, first = held[..., (begin - first) * unit :], begin
            yield Window(held[..., : size * unit], kept - begin, size - field.right, begin)
            kept = begin + size - field.right
    total = first + -(-held.shape[-1] // unit)
    if total > kept:
        begin = max(0, total - size)
        yield Window(held[..., (begin - first) * unit :], kept - begin, total - begin, begin)
