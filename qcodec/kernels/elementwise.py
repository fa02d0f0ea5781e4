"""C++ kernels between encoder and decoder: nearest levels, mean squared errors, gradients of estimators.

Function by function they are 1.1 to 2.0 times as fast as ``torch.compile`` of the PyTorch operations, forward and
backward, while a whole quantizer compiled as one graph takes 0.75 to 0.92 of their time (``benchmarks/kernels.py``).
Their sums are the same on any number of threads; those of PyTorch are not.
"""

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from qcodec.kernels.build import built, parallel_runtime, suits
from qcodec.kernels.triton_elementwise import TritonElementwise, triton_elementwise


class _Rows(ctypes.Structure):
    """Rows of a tensor, and the threads that share the work."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("values", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("parallel", ctypes.c_void_p),
    )


@final
class Elementwise:
    """The functions of a loaded library; all tensors are contiguous float32 on the CPU, of one shape.

    ``rows`` is the number of equal parts, one after the other, that have a sum of their own.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, double, integer = ctypes.c_void_p, ctypes.c_double, ctypes.c_int64
        self._nearest_level = _typed(library.qcodec_nearest_level, [pointer] * 3 + [double] * 2)
        self._mean_absolute = _typed(library.qcodec_mean_absolute, [pointer] * 2)
        self._mean_square = _typed(library.qcodec_mean_square, [pointer] * 3 + [integer])
        self._mean_square_gradient = _typed(library.qcodec_mean_square_gradient, [pointer] * 4 + [integer])
        self._modified_gradient = _typed(library.qcodec_modified_gradient, [pointer] * 4 + [integer])
        self._noisy = _typed(library.qcodec_noisy, [pointer] * 5)
        self._noisy_gradient = _typed(library.qcodec_noisy_gradient, [pointer] * 6)

    def nearest_level(self, z: Tensor, levels: int, step: float) -> tuple[Tensor, Tensor]:
        """Return index and value of the nearest of equally spaced levels."""
        index, value = torch.empty_like(z, dtype=torch.int64), torch.empty_like(z)
        self._nearest_level(z.data_ptr(), index.data_ptr(), value.data_ptr(), levels, step, _rows(z, 1))
        return index, value

    def mean_absolute(self, x: Tensor, rows: int) -> Tensor:
        """Return the mean of ``|x|`` of each row, ``(rows,)``."""
        mean = x.new_empty(rows)
        self._mean_absolute(x.data_ptr(), mean.data_ptr(), _rows(x, rows))
        return mean

    def mean_square(self, x: Tensor, target: Tensor, rows: int) -> Tensor:
        """Return the mean of ``(x - target)^2`` of each row, ``(rows,)``; row ``r`` has target ``r % len(target)``."""
        mean = x.new_empty(rows)
        self._mean_square(x.data_ptr(), target.data_ptr(), mean.data_ptr(), len(target), _rows(x, rows))
        return mean

    def mean_square_gradient(self, x: Tensor, target: Tensor, grad: Tensor) -> Tensor:
        """Return the gradient of ``x`` for that of ``mean_square``, ``(rows,)``."""
        out = torch.empty_like(x)
        self._mean_square_gradient(
            x.data_ptr(), target.data_ptr(), grad.data_ptr(), out.data_ptr(), len(target), _rows(x, len(grad))
        )  # fmt: skip
        return out

    def modified_gradient(self, z: Tensor, z_q: Tensor, grad: Tensor, centred: bool, rows: int) -> Tensor:
        """Return the gradient of ``z`` for the modified straight-through estimator with one magnitude per row."""
        out = torch.empty_like(z)
        self._modified_gradient(
            z.data_ptr(), z_q.data_ptr(), grad.data_ptr(), out.data_ptr(), centred, _rows(z, rows)
        )  # fmt: skip
        return out

    def noisy(self, z: Tensor, noise: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``z + gain * std(z) * noise`` with one gain per row, and the statistics that its gradient needs."""
        out, statistics = torch.empty_like(z), z.new_empty(2 * gain.numel(), dtype=torch.float64)
        self._noisy(
            z.data_ptr(), noise.data_ptr(), gain.data_ptr(), out.data_ptr(), statistics.data_ptr(),
            _rows(z, gain.numel()),
        )  # fmt: skip
        return out, statistics

    def noisy_gradient(self, z: Tensor, noise: Tensor, gain: Tensor, statistics: Tensor, grad: Tensor) -> Tensor:
        """Return the gradient of ``z`` for that of ``noisy``."""
        out = torch.empty_like(z)
        self._noisy_gradient(
            z.data_ptr(), noise.data_ptr(), gain.data_ptr(), statistics.data_ptr(), grad.data_ptr(), out.data_ptr(),
            _rows(z, gain.numel()),
        )  # fmt: skip
        return out


def elementwise(*tensors: Tensor) -> Elementwise | TritonElementwise | None:
    """Return the kernels where they take these tensors, of one shape and as they lie; else ``None``."""
    if any(not tensor.is_contiguous() or tensor.shape != tensors[0].shape for tensor in tensors):
        return None
    return _loaded() if suits(*tensors) else triton_elementwise(*tensors)


def rows_apart(x: Tensor, dims: Sequence[int]) -> int:
    """Return the number of rows that ``dims`` leave apart; 0 where these are not the last dimensions.

    Example:
        >>> [rows_apart(torch.empty(2, 3, 4), dims) for dims in ((0, 1, 2), (1, 2), (2,), (1,))]
        [1, 2, 6, 0]
    """
    apart = x.dim() - len(dims)
    return math.prod(x.shape[:apart]) if tuple(dims) == tuple(range(apart, x.dim())) else 0


@functools.cache
def _loaded() -> Elementwise | None:
    library = built("elementwise.cpp")
    return None if library is None else Elementwise(library)


def _typed(function: "ctypes._NamedFuncPointer", arguments: Sequence[type]) -> "ctypes._NamedFuncPointer":
    function.argtypes, function.restype = [*arguments, _Rows], None
    return function


def _rows(x: Tensor, rows: int) -> _Rows:
    return _Rows(rows, x.numel() // rows, torch.get_num_threads(), parallel_runtime())
