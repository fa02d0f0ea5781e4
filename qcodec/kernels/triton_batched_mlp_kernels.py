"""Triton kernels of the batched MLP; one program takes a tile of frames of one member through all layers.

Tensors are (member, feature, frame) with the frames contiguous, and a tile is (feature, frame). Its features are padded
with zeros to ``plan.padded``. Every layer restores these zeros: a number that is not finite would otherwise spread
through the padding. ``plan`` is a ``Plan`` of ``qcodec.kernels.triton_batched_mlp``; loops over its layers are
unrolled. Member ``m`` reads the signal number ``m % sources``.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["sources"])
def mlp_forward(x, parameters, y, kept, sources, frames, plan: tl.constexpr, keep: tl.constexpr, block: tl.constexpr):
    """Write the output and, where asked for, what the backward pass needs."""
    member = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    parameters += member * plan.parameters_at[3 * len(plan.skip)]
    kept += member * plan.kept_at[len(plan.skip)] * frames
    h = load_tile(x + member % sources * plan.widths[0] * frames, column, frames, plan, 0)
    for layer in tl.static_range(len(plan.skip)):
        row = tl.arange(0, plan.padded[layer + 1])[:, None]
        inside = row < plan.widths[layer + 1]
        bias = tl.load(parameters + plan.parameters_at[3 * layer + 1] + row, inside, 0.0)
        u = tl.dot(load_weight(parameters, plan, layer), h, input_precision="ieee") + bias
        u = tl.where(inside, u, 0.0)
        if plan.skip[layer] and not plan.skip_after:
            u += h
        if keep and plan.kept_at[layer + 1] > plan.kept_at[layer]:
            store_tile(kept + plan.kept_at[layer] * frames, column, frames, u, plan, layer + 1)
        if plan.activation[layer]:
            u = tl.where(u > 0, u, load_slope(parameters, plan, layer) * u)
        if plan.skip[layer] and plan.skip_after:
            u += h
        h = u
    store_tile(y + member * plan.widths[len(plan.skip)] * frames, column, frames, h, plan, len(plan.skip))


@triton.jit(do_not_specialize=["sources"])
def mlp_backward(
    x, parameters, kept, grad_y, grad_x, partial, sources, frames, plan: tl.constexpr, need_x: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Write the gradient of the input, where asked for, and the tile's part of the gradients of the parameters."""
    member = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    x += member % sources * plan.widths[0] * frames
    parameters += member * plan.parameters_at[3 * len(plan.skip)]
    kept += member * plan.kept_at[len(plan.skip)] * frames
    partial += (member * tl.num_programs(0) + tl.program_id(0)) * plan.parameters_at[3 * len(plan.skip)]
    g = load_tile(grad_y + member * plan.widths[len(plan.skip)] * frames, column, frames, plan, len(plan.skip))
    for layer in tl.static_range(len(plan.skip) - 1, -1, -1):
        row = tl.arange(0, plan.padded[layer + 1])
        inside = row < plan.widths[layer + 1]
        d = g  # the gradient of the matrix product
        if plan.activation[layer]:
            u = load_tile(kept + plan.kept_at[layer] * frames, column, frames, plan, layer + 1)
            weighted = tl.sum(tl.where(u > 0, 0.0, u * g), axis=1)
            d = tl.where(u > 0, g, load_slope(parameters, plan, layer) * g)
            if plan.slope_per_channel:
                tl.store(partial + plan.parameters_at[3 * layer + 2] + row, weighted, inside)
            else:
                tl.store(partial + plan.parameters_at[3 * layer + 2], tl.sum(weighted, axis=0))
        tl.store(partial + plan.parameters_at[3 * layer + 1] + row, tl.sum(d, axis=1), inside)
        h = rebuild_input(x, parameters, kept, column, frames, plan, layer)
        store_weight(partial, tl.dot(d, tl.trans(h), input_precision="ieee"), plan, layer)
        if layer > 0 or need_x:
            v = tl.dot(tl.trans(load_weight(parameters, plan, layer)), d, input_precision="ieee")
            v = tl.where(tl.arange(0, plan.padded[layer])[:, None] < plan.widths[layer], v, 0.0)
            if plan.skip[layer]:
                v += g if plan.skip_after else d
            g = v
    if need_x:
        store_tile(grad_x + member * plan.widths[0] * frames, column, frames, g, plan, 0)


@triton.jit(do_not_specialize=["size", "parts"])
def add_partial_sums(partial, total, size, parts, block: tl.constexpr):
    """Add the parts of each member's gradients, always in the same order."""
    column = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    member, part = tl.program_id(1).to(tl.int64), tl.arange(0, 16)[:, None]
    partial += member * parts * size
    added = tl.zeros((16, block), tl.float32)
    first = 0
    while first < parts:
        added += tl.load(partial + (first + part) * size + column, (first + part < parts) & (column < size), 0.0)
        first += 16
    tl.store(total + member * size + column, tl.sum(added, axis=0, keep_dims=True), column < size)


@triton.jit
def rebuild_input(x, parameters, kept, column, frames, plan: tl.constexpr, layer: tl.constexpr):
    """Return the input of a layer, out of what was kept."""
    h = load_tile(x, column, frames, plan, 0)
    for before in tl.static_range(layer):
        u = load_tile(kept + plan.kept_at[before] * frames, column, frames, plan, before + 1)
        if plan.activation[before]:
            u = tl.where(u > 0, u, load_slope(parameters, plan, before) * u)
        if plan.skip[before] and plan.skip_after:
            u += h
        h = u
    return h


@triton.jit
def load_tile(rows, column, frames, plan: tl.constexpr, layer: tl.constexpr):
    """Return a tile of the features before a layer."""
    row = tl.arange(0, plan.padded[layer])[:, None]
    return tl.load(rows + row * frames + column, (row < plan.widths[layer]) & (column < frames), 0.0)


@triton.jit
def store_tile(rows, column, frames, tile, plan: tl.constexpr, layer: tl.constexpr):
    """Write a tile of the features before a layer."""
    row = tl.arange(0, plan.padded[layer])[:, None]
    tl.store(rows + row * frames + column, tile, (row < plan.widths[layer]) & (column < frames))


@triton.jit
def load_weight(parameters, plan: tl.constexpr, layer: tl.constexpr):
    """Return the weight of a layer, (outputs, inputs)."""
    row, column = tl.arange(0, plan.padded[layer + 1])[:, None], tl.arange(0, plan.padded[layer])[None, :]
    inside = (row < plan.widths[layer + 1]) & (column < plan.widths[layer])
    return tl.load(parameters + plan.parameters_at[3 * layer] + row * plan.widths[layer] + column, inside, 0.0)


@triton.jit
def store_weight(partial, weight, plan: tl.constexpr, layer: tl.constexpr):
    """Write a layer's weight, or its gradient."""
    row, column = tl.arange(0, plan.padded[layer + 1])[:, None], tl.arange(0, plan.padded[layer])[None, :]
    inside = (row < plan.widths[layer + 1]) & (column < plan.widths[layer])
    tl.store(partial + plan.parameters_at[3 * layer] + row * plan.widths[layer] + column, weight, inside)


@triton.jit
def load_slope(parameters, plan: tl.constexpr, layer: tl.constexpr):
    """Return the slope of a layer: a column or, where the features share it, one number."""
    slope = parameters + plan.parameters_at[3 * layer + 2]
    if plan.slope_per_channel:
        row = tl.arange(0, plan.padded[layer + 1])[:, None]
        value = tl.load(slope + row, row < plan.widths[layer + 1], 0.0)
    else:
        value = tl.load(slope)
    return value
