"""Signals of any length through a network in windows of one shape, with the result of the whole."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from qcodec.layers.weight_norm import WeightNormConv


@final
@dataclass(frozen=True)
class Context:
    """Frames on either side of a frame that its result depends on.

    Attributes:
        left: Frames before it.
        right: Frames after it.
    """

    left: int
    right: int


@final
@dataclass(frozen=True)
class Window:
    """A stretch of a signal.

    Attributes:
        data: ``(C, rows, n)``, a view: the frames that are kept and their context.
        start: First frame whose result is kept.
        stop: End of those frames.
    """

    data: Tensor
    start: int
    stop: int


def reach(layers: Iterable[nn.Module], first: int, last: int) -> tuple[int, int]:
    """Give the first and last input sample that outputs ``first`` to ``last`` of convolutions in a row depend on.

    Layers of other kinds count as acting on each sample alone, and layers that act side by side as in a row: then it
    is no less than what is needed.

    Example:
        >>> reach([nn.Conv1d(1, 1, 7, padding=3), nn.Conv1d(1, 1, 4, stride=2, padding=1)], 0, 0)
        (-4, 5)
    """
    for layer in reversed(list(layers)):
        if isinstance(layer, WeightNormConv):
            side = layer.weight_v.shape[2] // 2
            first, last = first - side, last + side
        if not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            continue
        stride, padding = layer.stride[0], int(layer.padding[0])
        span = layer.dilation[0] * (layer.kernel_size[0] - 1)
        if isinstance(layer, nn.ConvTranspose1d):
            first, last = -((span - first - padding) // stride), (last + padding) // stride
        else:
            first, last = first * stride - padding, last * stride - padding + span
    return first, last


def encoder_context(layers: Iterable[nn.Module], hop_length: int) -> Context:
    """Give the context of layers that turn ``hop_length`` samples into a frame."""
    first, last = reach(layers, 0, 0)
    return Context(max(0, math.ceil(-first / hop_length)), max(0, last // hop_length))


def decoder_context(layers: Iterable[nn.Module], hop_length: int) -> Context:
    """Give the context of layers that turn a frame into ``hop_length`` samples."""
    first, last = reach(layers, 0, hop_length - 1)
    return Context(max(0, -first), max(0, last))


def windows(blocks: Iterable[Tensor], unit: int, size: int, context: Context) -> Iterator[Window]:
    """Cut a signal that comes in blocks into windows whose results join to that of the whole.

    All windows have ``size`` frames, whatever the blocks; a shorter signal is one window. Only at the two ends of the
    signal does a window end where its results are kept, so that a network pads there alone, as it would for the whole.
    No more than about two windows are held.

    Args:
        blocks: ``(C, rows, n)`` each, of any ``n``.
        unit: Samples per frame; the last frame may be a part.
        size: Frames of a window, more than its context.
        context: Frames that a result depends on.

    Example:
        >>> blocks = [torch.arange(5.0).view(1, 1, 5)] * 4
        >>> [(w.data.shape[-1], w.start, w.stop) for w in windows(blocks, 1, 8, Context(2, 1))]
        [(8, 0, 7), (8, 2, 7), (8, 2, 7), (8, 5, 8)]
    """
    held, first, kept = torch.empty(0), 0, 0  # the buffer, the frame it begins with, the frames given so far
    for block in blocks:
        held = torch.cat([held, block], -1) if held.numel() else block
        while held.shape[-1] > (max(0, kept - context.left) + size - first) * unit:  # the signal goes on after it
            begin = max(0, kept - context.left)
            held, first = held[..., (begin - first) * unit :], begin
            yield Window(held[..., : size * unit], kept - begin, size - context.right)
            kept = begin + size - context.right
    total = first + -(-held.shape[-1] // unit)
    if total > kept:
        begin = max(0, total - size)
        yield Window(held[..., (begin - first) * unit :], kept - begin, total - begin)
