"""Triton kernels between encoder and decoder; one program takes a chunk of the values of one row.

A tensor is a number of rows of ``values`` contiguous values. Sums are taken in float64: each chunk writes its own to
``parts`` (rows, sums, chunks), and whoever needs those of a row adds them in the order of the chunks.
"""

import triton
import triton.language as tl


@triton.jit
def nearest_level(z, index, value, size, levels, step, chunk: tl.constexpr):
    """Write index, which is 0 for a NaN, and value of the nearest of equally spaced levels."""
    at = tl.program_id(0).to(tl.int64) * chunk + tl.arange(0, chunk)
    level = tl.floor(tl.div_rn(tl.load(z + at, at < size, 0.0), step) + levels / 2)
    level = tl.where(level < 0, 0.0, level)
    level = tl.where(level > levels - 1, levels - 1, level)
    tl.store(value + at, (level - (levels - 1) / 2) * step, at < size)
    tl.store(index + at, tl.where(level == level, level, 0.0).to(tl.int64), at < size)


@triton.jit
def absolute_sums(x, parts, values, chunk: tl.constexpr):
    """Sum ``|x|``."""
    _, at, inside = chunk_of_row(values, chunk)
    write_sum(tl.abs(tl.load(x + at, inside, 0.0)).to(tl.float64), parts, 0, 1, values, chunk)


@triton.jit(do_not_specialize=["targets"])
def square_sums(x, target, parts, values, targets, chunk: tl.constexpr):
    """Sum ``(x - target)^2``; row ``r`` is compared with row ``r % targets``."""
    row, at, inside = chunk_of_row(values, chunk)
    wanted = tl.load(target + at - row // targets * targets * values, inside, 0.0)
    error = tl.load(x + at, inside, 0.0).to(tl.float64) - wanted.to(tl.float64)
    write_sum(error * error, parts, 0, 1, values, chunk)


@triton.jit
def error_sums(z, z_q, grad, parts, values, chunk: tl.constexpr):
    """Sum ``q``, ``q^2`` and ``q grad`` with ``q = z_q - z``."""
    _, at, inside = chunk_of_row(values, chunk)
    error = tl.load(z_q + at, inside, 0.0).to(tl.float64) - tl.load(z + at, inside, 0.0).to(tl.float64)
    write_sum(error, parts, 0, 3, values, chunk)
    write_sum(error * error, parts, 1, 3, values, chunk)
    write_sum(error * tl.load(grad + at, inside, 0.0).to(tl.float64), parts, 2, 3, values, chunk)


@triton.jit
def value_sums(z, parts, values, chunk: tl.constexpr):
    """Sum ``z`` and ``z^2``."""
    _, at, inside = chunk_of_row(values, chunk)
    value = tl.load(z + at, inside, 0.0).to(tl.float64)
    write_sum(value, parts, 0, 2, values, chunk)
    write_sum(value * value, parts, 1, 2, values, chunk)


@triton.jit
def product_sums(x, other, parts, values, chunk: tl.constexpr):
    """Sum ``x other``."""
    _, at, inside = chunk_of_row(values, chunk)
    product = tl.load(x + at, inside, 0.0).to(tl.float64) * tl.load(other + at, inside, 0.0).to(tl.float64)
    write_sum(product, parts, 0, 1, values, chunk)


@triton.jit
def means(parts, mean, values, chunk: tl.constexpr):
    """Write the mean of each row."""
    row = tl.program_id(0).to(tl.int64)
    tl.store(mean + row, row_sum(parts, 0, 1, row, values, chunk) / tl.cast(values, tl.float64))


@triton.jit(do_not_specialize=["targets"])
def mean_square_gradient(x, target, grad, out, values, targets, chunk: tl.constexpr):
    """Write ``2 / n grad (x - target)``, with one ``grad`` for each row."""
    row, at, inside = chunk_of_row(values, chunk)
    scale = tl.load(grad + row) * (2 / tl.cast(values, tl.float64)).to(tl.float32)
    error = tl.load(x + at, inside) - tl.load(target + at - row // targets * targets * values, inside)
    tl.store(out + at, error * scale, inside)


@triton.jit
def modified_gradient(z, z_q, grad, parts, out, values, centred: tl.constexpr, chunk: tl.constexpr):
    """Write ``grad - (q - mean q) <grad, q> / sum (q - mean q)^2``, or the same without the means.

    Where the power of ``q = z_q - z`` is lost in rounding, ``grad`` itself.
    """
    row, at, inside = chunk_of_row(values, chunk)
    total, n = row_sum(parts, 1, 3, row, values, chunk), tl.cast(values, tl.float64)
    mean = tl.full((), 0.0, tl.float64)
    if centred:
        mean += row_sum(parts, 0, 3, row, values, chunk) / n
    power = total - mean * mean * n
    ratio = tl.where(power <= total * 2.0**-23, 0.0, row_sum(parts, 2, 3, row, values, chunk) / power)
    error = (tl.load(z_q + at, inside) - tl.load(z + at, inside)) - mean.to(tl.float32)
    tl.store(out + at, tl.load(grad + at, inside) - error * ratio.to(tl.float32), inside)


@triton.jit
def noisy(z, noise, gain, parts, out, statistics, values, chunk: tl.constexpr):
    """Write ``z + gain std(z) noise``, and the mean and standard deviation of each row to ``statistics``."""
    row, at, inside = chunk_of_row(values, chunk)
    n = tl.cast(values, tl.float64)
    mean = row_sum(parts, 0, 2, row, values, chunk) / n
    power = row_sum(parts, 1, 2, row, values, chunk) - mean * mean * n
    deviation = tl.sqrt(tl.where(power < 0, 0.0, power) / (n - 1))
    scale = tl.load(gain + row) * deviation.to(tl.float32)
    tl.store(out + at, tl.load(z + at, inside) + scale * tl.load(noise + at, inside), inside)
    if tl.program_id(0) % tl.cdiv(values, chunk) == 0:
        tl.store(statistics + 2 * row, mean)
        tl.store(statistics + 2 * row + 1, deviation)


@triton.jit
def noisy_gradient(z, gain, statistics, grad, parts, out, values, chunk: tl.constexpr):
    """Write ``grad + (z - mean z) / ((n - 1) std(z)) gain <grad, noise>``, where ``std(z)`` is 0 ``grad`` itself."""
    row, at, inside = chunk_of_row(values, chunk)
    mean, deviation = tl.load(statistics + 2 * row), tl.load(statistics + 2 * row + 1)
    inner = tl.load(gain + row).to(tl.float64) * row_sum(parts, 0, 1, row, values, chunk)
    slope = inner / ((tl.cast(values, tl.float64) - 1) * deviation)
    scale = tl.where(deviation == 0, 0.0, slope).to(tl.float32)
    tl.store(out + at, tl.load(grad + at, inside) + (tl.load(z + at, inside) - mean.to(tl.float32)) * scale, inside)


@triton.jit
def chunk_of_row(values, chunk: tl.constexpr):
    """Return the program's row, the positions of its values, and which of these there are."""
    chunks = tl.cdiv(values, chunk)
    row = tl.program_id(0).to(tl.int64) // chunks
    column = tl.program_id(0) % chunks * chunk + tl.arange(0, chunk)
    return row, row * values + column, column < values


@triton.jit
def write_sum(terms, parts, kind: tl.constexpr, kinds: tl.constexpr, values, chunk: tl.constexpr):
    """Write the sum of a chunk's terms to its place."""
    chunks = tl.cdiv(values, chunk)
    row = tl.program_id(0).to(tl.int64) // chunks
    tl.store(parts + (row * kinds + kind) * chunks + tl.program_id(0) % chunks, tl.sum(terms, axis=0))


@triton.jit
def row_sum(parts, kind: tl.constexpr, kinds: tl.constexpr, row, values, chunk: tl.constexpr):
    """Add the sums of a row's chunks, always in the same order."""
    chunks = tl.cdiv(values, chunk)
    parts += (row * kinds + kind) * chunks
    lane = tl.arange(0, 32)
    added, first = tl.full((32,), 0.0, tl.float64), 0
    while first < chunks:
        added += tl.load(parts + first + lane, first + lane < chunks, 0.0)
        first += 32
    return tl.sum(added, axis=0)
