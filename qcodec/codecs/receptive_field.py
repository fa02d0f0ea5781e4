"""The receptive field of convolutions in a row."""

import math
from collections.abc import Iterable

from torch import nn

from qcodec.quantizers.receptive_field import ReceptiveField


def reach(layers: Iterable[nn.Module], first: int, last: int) -> tuple[int, int]:
    """Return the first and last input sample that outputs ``first`` to ``last`` of convolutions in a row depend on.

    Layers of other kinds count as acting on each sample alone, and layers that act side by side as in a row: then it
    is no less than what is needed.

    Example:
        >>> reach([nn.Conv1d(1, 1, 7, padding=3), nn.Conv1d(1, 1, 4, stride=2, padding=1)], 0, 0)
        (-4, 5)
    """
    for layer in reversed(list(layers)):
        if not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            continue
        stride, padding = layer.stride[0], int(layer.padding[0])
        span = layer.dilation[0] * (layer.kernel_size[0] - 1)
        if isinstance(layer, nn.ConvTranspose1d):
            first, last = -((span - first - padding) // stride), (last + padding) // stride
        else:
            first, last = first * stride - padding, last * stride - padding + span
    return first, last


def encoder_field(layers: Iterable[nn.Module], hop_length: int) -> ReceptiveField:
    """Return the field of convolutions that turn ``hop_length`` samples into a frame."""
    first, last = reach(layers, 0, 0)
    return ReceptiveField(max(0, math.ceil(-first / hop_length)), max(0, last // hop_length))


def decoder_field(layers: Iterable[nn.Module], hop_length: int) -> ReceptiveField:
    """Return the field of convolutions that turn a frame into ``hop_length`` samples."""
    first, last = reach(layers, 0, hop_length - 1)
    return ReceptiveField(max(0, -first), max(0, last))
