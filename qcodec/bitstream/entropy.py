"""Codes to bytes and back, by a range coder with static tables."""

from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from qcodec.bitstream.codes import Codes, depth_of
from qcodec.bitstream.tables import Tables

_END = 64  # bits that the coder may save at the end of a block


def pack(codes: Codes, tables: Tables) -> bytes:
    """Encode a block: the depths of all frames first, channel by channel, where they vary, then code by code.

    Args:
        codes: ``(C, N, T)`` with ``N`` the tables' codes; -1 where a code is not sent.
        tables: With depths, or for frames that all send every code.

    Raises:
        ValueError: For codes that the tables do not hold.

    Example:
        >>> from qcodec.bitstream.tables import uniform_tables
        >>> codes = np.arange(64).reshape(1, 2, 32)
        >>> data = pack(codes, uniform_tables((64, 64), depth=True))
        >>> len(data) * 8 - 32 * (2 * 6 + 1)  # bits beyond two codes of 6 bits and a depth of 1 bit
        32
        >>> np.array_equal(unpack(data, (1, 32), uniform_tables((64, 64), depth=True)), codes)
        True
    """
    depth = _checked_depth(codes, tables)
    encoder = constriction.stream.queue.RangeEncoder()
    for clip in depth if tables.depth is not None else ():
        before = 0
        for value in clip.tolist():
            encoder.encode(value - 1, tables.depth_models[before])
            before = value
    for index, model in enumerate(tables.code_models):
        sent = codes[:, index][depth > index]
        encoder.encode(np.ascontiguousarray(sent, dtype=np.int32), model)
    words: NDArray[np.uint32] = encoder.get_compressed()
    return words.astype("<u4").tobytes()


def unpack(data: bytes, shape: tuple[int, int], tables: Tables) -> Codes:
    """Return the codes ``(C, N, T)`` of a block of ``shape`` ``(C, T)``, int64.

    Raises:
        ValueError: For data that is no block of this shape under these tables.
    """
    if len(data) % 4:
        raise ValueError(f"a block of {len(data)} bytes is damaged: they must be a multiple of four")
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
    try:
        codes = _decode(decoder, shape, tables)
    except AssertionError:  # how the coder says that no symbol fits
        raise ValueError("a block holds what no encoder wrote with these tables") from None
    if not decoder.maybe_exhausted():
        raise ValueError("a block holds more than its frames")
    if 8 * len(data) + _END < ideal_bits(codes, tables).sum():
        raise ValueError(f"a block of {len(data)} bytes is damaged: they are too few for its frames")
    return codes


def ideal_bits(codes: Codes, tables: Tables) -> NDArray[np.float64]:
    """Return the bits that each frame of a block costs under the tables, ``(C, T)``: depth and codes."""
    depth = _checked_depth(codes, tables)
    before = np.pad(depth[:, :-1], ((0, 0), (1, 0)))
    bits: NDArray[np.float64] = tables.depth_bits[before, depth - 1]
    for index, costs in enumerate(tables.code_bits):
        bits = bits + costs[np.maximum(codes[:, index], 0)] * (depth > index)
    return bits


def _checked_depth(codes: Codes, tables: Tables) -> NDArray[np.int64]:
    count = len(tables.codes)
    fits = codes.ndim == 3 and codes.shape[1] == count
    if not fits or (codes.size and (codes.max((0, 2)) >= np.array(tables.sizes)).any()):
        raise ValueError(f"codes of shape {codes.shape} are none of {count} of the tables' sizes: use the model's")
    depth = depth_of(codes)
    if tables.depth is None and (depth < count).any():
        raise ValueError("these tables are for frames that send every code: use some with depths")
    return depth


def _decode(decoder: Any, shape: tuple[int, int], tables: Tables) -> Codes:
    channels, frames = shape
    depth = np.full(shape, len(tables.codes))
    for channel in range(channels if tables.depth is not None else 0):
        before = 0
        for frame in range(frames):
            before = decoder.decode(tables.depth_models[before]) + 1
            depth[channel, frame] = before
    codes = np.full((channels, len(tables.codes), frames), -1)
    for index, model in enumerate(tables.code_models):
        sent = depth > index
        codes[:, index][sent] = decoder.decode(model, int(sent.sum()))
    return codes
