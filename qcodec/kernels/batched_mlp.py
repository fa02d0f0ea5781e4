"""The C++ kernel of the batched MLP.

For the surrogate's encoder and decoder, forward and backward, it is 1.5 to 2.1 times as fast as ``torch.compile`` of
the PyTorch operations with 1 and 3 members, which share a call on a CPU (``benchmarks/kernels.py``).
"""

import ctypes
import functools
import itertools
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from qcodec.kernels.build import built, parallel_runtime


@dataclass(frozen=True)
class Layers:
    """Layers that a kernel is compiled for; layer ``l`` maps ``widths[l]`` to ``widths[l + 1]`` features."""

    widths: tuple[int, ...]
    skip: tuple[bool, ...]
    activation: tuple[bool, ...]
    skip_after: bool
    slope_per_channel: bool

    def macros(self) -> list[str]:
        """Return the compiler's arguments that define this configuration."""
        lists = {"WIDTHS": self.widths, "SKIP": self.skip, "ACTIVATION": self.activation}
        flags = {"AFTER": self.skip_after, "CHANNEL": self.slope_per_channel}
        values = {name: ",".join(str(int(value)) for value in row) for name, row in lists.items()}
        values |= {name: str(int(flag)) for name, flag in flags.items()}
        return [f"-DQCODEC_{name}={value}" for name, value in values.items()]

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of weight, bias and slope of each layer; ``(0,)`` for the slope where there is no PReLU."""
        shapes: list[tuple[int, ...]] = []
        for active, (n_in, n_out) in zip(self.activation, itertools.pairwise(self.widths), strict=True):
            shapes += [(n_out, n_in), (n_out,), ((n_out if self.slope_per_channel else 1) * active,)]
        return shapes


@final
class Kernel:
    """Forward and backward pass of a loaded library; all tensors are contiguous float32 on the CPU.

    Parameters and their gradients are ``(M, P)``: weight, bias and slope of each layer in this order. Signals are
    ``(S, F, T)``, where ``S`` divides ``M``: member ``m`` maps signal ``m % S``.
    """

    def __init__(self, library: ctypes.CDLL, layers: Layers) -> None:
        sizes = (ctypes.c_int64 * 3)()
        library.qcodec_sizes(sizes)
        self._chunk, self._kept, self._partial = sizes
        self.layers = layers
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._forward, self._backward = library.qcodec_forward, library.qcodec_backward
        self._forward.argtypes = [pointer] * 4 + [integer] * 4 + [pointer]
        self._backward.argtypes = [pointer] * 7 + [integer] * 4 + [pointer]
        self._forward.restype = self._backward.restype = None
        self._parallel = parallel_runtime()

    def forward(self, x: Tensor, parameters: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
        """Return the output ``(M, F, T)`` and, where asked for, what the backward pass needs."""
        (members, _), (sources, _, frames) = parameters.shape, x.shape
        y = x.new_empty(members, self.layers.widths[-1], frames)
        kept = x.new_empty(members, -(-frames // self._chunk), self._kept) if keep else None
        self._forward(
            parameters.data_ptr(), x.data_ptr(), y.data_ptr(), None if kept is None else kept.data_ptr(),
            members, sources, frames, torch.get_num_threads(), self._parallel,
        )  # fmt: skip
        return y, kept

    def backward(
        self, x: Tensor, parameters: Tensor, kept: Tensor, grad_y: Tensor, need_grad_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of each member's signal ``(M, F, T)``, where asked for, and of the parameters."""
        (members, _), (sources, features, frames) = parameters.shape, x.shape
        grad_x = x.new_empty(members, features, frames) if need_grad_x else None
        gradients = torch.empty_like(parameters)
        partial = x.new_empty(members, kept.shape[1], self._partial)
        self._backward(
            parameters.data_ptr(), x.data_ptr(), kept.data_ptr(), grad_y.data_ptr(),
            None if grad_x is None else grad_x.data_ptr(), gradients.data_ptr(), partial.data_ptr(),
            members, sources, frames, torch.get_num_threads(), self._parallel,
        )  # fmt: skip
        return grad_x, gradients


@functools.cache
def kernel(layers: Layers) -> Kernel | None:
    """Return the kernel of a configuration, compiled if need be; ``None``, after one warning, where that fails."""
    library = built("batched_mlp.cpp", *layers.macros())
    return None if library is None else Kernel(library, layers)
