"""Triton kernels between encoder and decoder: nearest levels, mean squared errors, gradients of estimators."""

import functools
from types import ModuleType
from typing import final

import torch
from torch import Tensor

from qcodec.kernels.triton_launch import SLOW_SURROGATE, current, on_gpu, tried

_CHUNK = 4096  # values of one program
_NARROWEST = 128


@final
class TritonElementwise:
    """The functions of ``qcodec.kernels.elementwise.Elementwise`` for contiguous float32 tensors on one GPU.

    Nothing waits for the GPU. Sums are taken in float64, in an order that depends on the shape of a row alone.
    """

    def nearest_level(self, z: Tensor, levels: int, step: float) -> tuple[Tensor, Tensor]:
        """Return index and value of the nearest of equally spaced levels."""
        index, value = torch.empty_like(z, dtype=torch.int64), torch.empty_like(z)
        with current(z):
            _kernels().nearest_level[-(-z.numel() // 1024),](
                z, index, value, z.numel(), float(levels), float(step), 1024
            )
        return index, value

    def mean_absolute(self, x: Tensor, rows: int) -> Tensor:
        """Return the mean of ``|x|`` of each row, ``(rows,)``."""
        return _means(x, rows, _sums("absolute_sums", 1, rows, x))

    def mean_square(self, x: Tensor, target: Tensor, rows: int) -> Tensor:
        """Return the mean of ``(x - target)^2`` of each row, ``(rows,)``; row ``r`` has target ``r % len(target)``."""
        return _means(x, rows, _sums("square_sums", 1, rows, x, target, targets=len(target)))

    def mean_square_gradient(self, x: Tensor, target: Tensor, grad: Tensor) -> Tensor:
        """Return the gradient of ``x`` for that of ``mean_square``, ``(rows,)``."""
        return _apply("mean_square_gradient", len(grad), x, target, grad, targets=len(target))

    def modified_gradient(self, z: Tensor, z_q: Tensor, grad: Tensor, centred: bool, rows: int) -> Tensor:
        """Return the gradient of ``z`` for the modified straight-through estimator with one magnitude per row."""
        parts = _sums("error_sums", 3, rows, z, z_q, grad)
        return _apply("modified_gradient", rows, z, z_q, grad, parts, centred=centred)

    def noisy(self, z: Tensor, noise: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``z + gain * std(z) * noise`` with one gain per row, and the statistics that its gradient needs."""
        rows, statistics = gain.numel(), z.new_empty(2 * gain.numel(), dtype=torch.float64)
        parts = _sums("value_sums", 2, rows, z)
        return _apply("noisy", rows, z, noise, gain, parts, statistics=statistics), statistics

    def noisy_gradient(self, z: Tensor, noise: Tensor, gain: Tensor, statistics: Tensor, grad: Tensor) -> Tensor:
        """Return the gradient of ``z`` for that of ``noisy``."""
        parts = _sums("product_sums", 1, gain.numel(), grad, noise)
        return _apply("noisy_gradient", gain.numel(), z, gain, statistics, grad, parts)


def triton_elementwise(*tensors: Tensor) -> TritonElementwise | None:
    """Return the functions where they may take these tensors as they lie; else ``None``."""
    return _tried(tensors[0].device) if on_gpu(*tensors) else None


@functools.cache
def _tried(device: torch.device) -> TritonElementwise | None:
    def trial() -> TritonElementwise:
        kernels = TritonElementwise()
        kernels.mean_absolute(torch.zeros(1, device=device), 1)
        return kernels

    return tried(trial, device, SLOW_SURROGATE)


@functools.cache
def _kernels() -> ModuleType:
    from qcodec.kernels import triton_elementwise_kernels

    return triton_elementwise_kernels


def _chunk(values: int) -> int:
    return min(_CHUNK, max(_NARROWEST, 1 << (values - 1).bit_length()))


def _launch(kernel: str, programs: int, values: int, *args: Tensor, **others: object) -> None:
    with current(args[0]):
        getattr(_kernels(), kernel)[programs,](*args, values=values, chunk=_chunk(values), **others)


def _sums(kernel: str, kinds: int, rows: int, *tensors: Tensor, **others: int) -> Tensor:
    values = tensors[0].numel() // rows
    chunks = -(-values // _chunk(values))
    parts = tensors[0].new_empty((rows, kinds, chunks), dtype=torch.float64)
    _launch(kernel, rows * chunks, values, *tensors, parts, **others)
    return parts


def _means(x: Tensor, rows: int, parts: Tensor) -> Tensor:
    mean = x.new_empty(rows)
    _launch("means", rows, x.numel() // rows, parts, mean)
    return mean


def _apply(kernel: str, rows: int, *tensors: Tensor, **others: object) -> Tensor:
    values, out = tensors[0].numel() // rows, torch.empty_like(tensors[0])
    _launch(kernel, rows * -(-values // _chunk(values)), values, *tensors, out, **others)
    return out
