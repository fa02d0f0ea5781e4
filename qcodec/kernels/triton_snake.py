"""The Snake activation on a GPU, by kernels of Triton."""

import functools
from types import ModuleType
from typing import final

import torch
from torch import Tensor

from qcodec.kernels.triton_launch import current, on_gpu, tried

_TILE = 1024  # values that one program takes
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@final
class TritonSnake:
    """Forward and backward pass by the kernels of a module; tensors are contiguous and on its device."""

    def __init__(self, kernels: ModuleType) -> None:
        self._kernels = kernels

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Return ``x + sin(alpha x)^2 / (alpha + 1e-9)`` for ``x`` ``(B, C, T)`` and ``alpha`` of ``C`` values.

        Under automatic mixed precision in the type of ``x``, to which the next layer would round it.
        """
        mixed = torch.is_autocast_enabled(x.device.type)
        y = torch.empty_like(x, dtype=x.dtype if mixed else torch.promote_types(x.dtype, alpha.dtype))
        with current(x):
            self._kernels.forward[_grid(x)](x, alpha, y, *_sizes(x), *_tile(x))
        return y

    def backward(self, x: Tensor, alpha: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of ``x`` and of ``alpha``."""
        rows, tiles = x.shape[0] * x.shape[1], _grid(x)[1]
        grad_x, partial = torch.empty_like(x), x.new_empty((tiles, rows), dtype=torch.float32)
        with current(x):
            self._kernels.backward[_grid(x)](x, alpha, grad, grad_x, partial, *_sizes(x), *_tile(x))
        return grad_x, partial.view(-1, x.shape[1]).sum(0).to(alpha.dtype).view_as(alpha)


def triton_snake(x: Tensor, alpha: Tensor) -> TritonSnake | None:
    """Return the kernels where they may take these tensors as they lie."""
    fits = x.dim() == 3 and alpha.numel() == x.shape[1]
    return _loaded(x.device) if fits and on_gpu(x, alpha, dtypes=_DTYPES) else None


@functools.cache
def _loaded(device: torch.device) -> TritonSnake | None:
    """Return the kernels if they run on this device; else, after a warning, ``None``."""

    def trial() -> TritonSnake:
        from qcodec.kernels import triton_snake_kernels

        kernels, one = TritonSnake(triton_snake_kernels), torch.ones(1, 1, 1, device=device)
        kernels.backward(one, one, kernels.forward(one, one))
        return kernels

    return tried(trial, device, "Snake takes more time and memory")


def _tile(x: Tensor) -> tuple[int, int]:
    """Return how many rows and values a program takes, powers of two."""
    width = min(_TILE, 1 << (x.shape[2] - 1).bit_length())
    return _TILE // width, width


def _grid(x: Tensor) -> tuple[int, int]:
    height, width = _tile(x)
    return -(-x.shape[0] * x.shape[1] // height), -(-x.shape[2] // width)


def _sizes(x: Tensor) -> tuple[int, int, int]:
    return x.shape[0] * x.shape[1], x.shape[1], x.shape[2]
