"""Triton kernels of the Snake activation: one program takes a tile of rows, which are channels of clips, and values.

Tensors are ``(rows, values)``, contiguous; row ``r`` has channel ``r % channels``. Whatever the type of tensors, all is
computed in float32 and rounded once.
"""

import triton
import triton.language as tl


@triton.jit
def forward(x, alpha, y, rows, channels, values, height: tl.constexpr, width: tl.constexpr):
    """Write ``x + sin(alpha x)^2 / (alpha + 1e-9)`` to ``y``."""
    row = tl.program_id(0).to(tl.int64) * height + tl.arange(0, height)[:, None]
    column = tl.program_id(1) * width + tl.arange(0, width)[None, :]
    at, inside = row * values + column, (row < rows) & (column < values)
    a = tl.load(alpha + row % channels).to(tl.float32)
    v = tl.load(x + at, inside, 0.0).to(tl.float32)
    sine = tl.sin(a * v)
    tl.store(y + at, (v + sine * sine / (a + 1e-9)).to(y.dtype.element_ty), inside)


@triton.jit
def backward(x, alpha, grad, grad_x, partial, rows, channels, values, height: tl.constexpr, width: tl.constexpr):
    """Write the gradient of ``x``, and what each tile gives to that of ``alpha`` to ``partial`` ``(tiles, rows)``."""
    row = tl.program_id(0).to(tl.int64) * height + tl.arange(0, height)[:, None]
    column = tl.program_id(1) * width + tl.arange(0, width)[None, :]
    at, inside = row * values + column, (row < rows) & (column < values)
    a = tl.load(alpha + row % channels).to(tl.float32)
    v = tl.load(x + at, inside, 0.0).to(tl.float32)
    g = tl.load(grad + at, inside, 0.0).to(tl.float32)
    inverse = 1 / (a + 1e-9)
    sine = tl.sin(a * v)
    slope = 2 * sine * tl.cos(a * v) * inverse  # of sin(u)^2 / (alpha + 1e-9) by u = alpha x
    tl.store(grad_x + at, (g + g * slope * a).to(grad_x.dtype.element_ty), inside)
    part = g * (slope * v - sine * sine * inverse * inverse)
    to = tl.program_id(1) * rows + tl.program_id(0).to(tl.int64) * height + tl.arange(0, height)
    tl.store(partial + to, tl.sum(part, 1), tl.program_id(0) * height + tl.arange(0, height) < rows)
