"""The batched MLP on a GPU, by Triton."""

import functools
import itertools
import math
from dataclasses import dataclass
from types import ModuleType
from typing import final

import torch
from torch import Tensor

from qcodec.kernels.batched_mlp import Layers
from qcodec.kernels.triton_launch import SLOW_SURROGATE, current, on_gpu, tried

_WIDEST = 64
# Frames of a tile and warps of a program, by the widest layer padded: as much as fits in the registers.
_FORWARD = {16: (64, 2), 32: (64, 4), 64: (32, 4)}
_BACKWARD = {16: (32, 1), 32: (32, 2), 64: (32, 8)}
_COLUMNS = 128  # parameters whose partial sums one program adds


@dataclass(frozen=True)
class Plan:
    """What Triton compiles the kernels for: the layers, and where their values lie."""

    widths: tuple[int, ...]
    padded: tuple[int, ...]
    skip: tuple[bool, ...]
    activation: tuple[bool, ...]
    skip_after: bool
    slope_per_channel: bool
    parameters_at: tuple[int, ...]  # of weight, bias and slope of each layer, and the number of parameters
    kept_at: tuple[int, ...]  # of the rows kept of each layer, and their number

    @classmethod
    def of(cls, layers: Layers) -> "Plan":
        """Lay out the layers."""
        # The backward pass needs what enters each activation, and rebuilds the inputs of the later layers from it.
        needed = (*[True] * (len(layers.activation) - 1), layers.activation[-1])
        kept = [width * need for width, need in zip(layers.widths[1:], needed, strict=True)]
        return cls(
            layers.widths, tuple(max(16, 1 << (width - 1).bit_length()) for width in layers.widths),
            layers.skip, layers.activation, layers.skip_after, layers.slope_per_channel,
            tuple(itertools.accumulate(map(math.prod, layers.shapes()), initial=0)),
            tuple(itertools.accumulate(kept, initial=0)),
        )  # fmt: skip


@final
class TritonKernel:
    """Forward and backward pass by Triton; all tensors are contiguous float32 on one GPU.

    Parameters and their gradients are ``(M, P)``: weight, bias and slope of each layer in this order. Nothing waits for
    the GPU, and every sum is taken in the same order each time: a call can be part of a captured graph.
    """

    def __init__(self, layers: Layers) -> None:
        self.layers, self._plan = layers, Plan.of(layers)
        widest = max(self._plan.padded)
        self._forward_tile, self._backward_tile = _FORWARD[widest], _BACKWARD[widest]

    def forward(self, x: Tensor, parameters: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
        """Return the output ``(M, F, T)`` and, where asked for, what the backward pass needs."""
        (members, _), (sources, _, frames) = parameters.shape, x.shape
        y = x.new_empty(members, self.layers.widths[-1], frames)
        kept = x.new_empty(members, self._plan.kept_at[-1], frames) if keep else None
        block, warps = self._forward_tile
        with current(x):
            _kernels().mlp_forward[-(-frames // block), members](
                x, parameters, y, y if kept is None else kept, sources, frames, self._plan, keep, block, num_warps=warps
            )
        return y, kept

    def backward(
        self, x: Tensor, parameters: Tensor, kept: Tensor, grad_y: Tensor, need_grad_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of each member's signal ``(M, F, T)``, where asked for, and of the parameters."""
        (members, size), (sources, features, frames) = parameters.shape, x.shape
        block, warps = self._backward_tile
        tiles, gradients = -(-frames // block), torch.empty_like(parameters)
        grad_x = x.new_empty(members, features, frames) if need_grad_x else None
        partial = x.new_empty(members, tiles, size)
        with current(x):
            _kernels().mlp_backward[tiles, members](
                x, parameters, kept, grad_y, x if grad_x is None else grad_x, partial,
                sources, frames, self._plan, need_grad_x, block, num_warps=warps,
            )  # fmt: skip
            _kernels().add_partial_sums[-(-size // _COLUMNS), members](
                partial, gradients, size, tiles, _COLUMNS, num_warps=4
            )
        return grad_x, gradients


def triton_kernel(layers: Layers, *tensors: Tensor) -> TritonKernel | None:
    """Return the kernel where it may take these tensors as they lie; else ``None``.

    The first call for some layers compiles and tries it, so that it has to come before the capture of a graph.
    """
    if max(layers.widths) > _WIDEST or not on_gpu(*tensors):
        return None
    return _tried(layers, tensors[0].device)


@functools.cache
def _tried(layers: Layers, device: torch.device) -> TritonKernel | None:
    def trial() -> TritonKernel:
        kernel = TritonKernel(layers)
        x, grad_y = (torch.zeros(1, width, 16, device=device) for width in (layers.widths[0], layers.widths[-1]))
        parameters = torch.zeros(1, sum(map(math.prod, layers.shapes())), device=device)
        kept = kernel.forward(x, parameters, keep=True)[1]
        kernel.backward(x, parameters, x if kept is None else kept, grad_y, need_grad_x=True)
        return kernel

    return tried(trial, device, SLOW_SURROGATE)


@functools.cache
def _kernels() -> ModuleType:
    from qcodec.kernels import triton_batched_mlp_kernels

    return triton_batched_mlp_kernels
