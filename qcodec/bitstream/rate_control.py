"""Which codes a level sends, and the level at which a recording meets a rate."""

from collections.abc import Sequence

import numpy as np
import torch

from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.code_cache import CodeBlock
from qcodec.bitstream.codes import Codes, leading
from qcodec.bitstream.container import CHUNK_HEAD
from qcodec.bitstream.encoded_recording import EncodedRecording
from qcodec.bitstream.entropy import ideal_bits


def sent_codes(bitstream: Bitstream, block: CodeBlock, level: float | None, levels: Sequence[float | None]) -> Codes:
    """Return the codes of a block that are sent at a level, -1 for the others.

    Raises:
        ValueError: For a level that the model does not have.
    """
    allocator = bitstream.quantizer.allocator
    if allocator is None:
        if level is not None:
            raise ValueError(f"{type(bitstream.quantizer).__name__} has one rate only, so level={level} has no meaning")
        return block.codes
    decisions = torch.from_numpy(np.ascontiguousarray(block.decisions))
    return leading(block.codes, allocator.depth(decisions, len(bitstream.sizes), level, levels).numpy())


def level_for(bitstream: Bitstream, encoded: EncodedRecording, bits: float) -> float:
    """Find the highest level whose chunks take no more than ``bits`` bits, as the model's allocator searches.

    Raises:
        ValueError: Where the lowest takes more, or the model has one rate.
    """

    def bits_at(level: float) -> float:
        total = 0.0
        for block in encoded.cache:
            codes = sent_codes(bitstream, block, level, encoded.levels)
            total += _chunk_bits(bitstream, codes)
        return total

    levels = [level for level in encoded.levels if level is not None]
    return bitstream.allocator.search(bits_at, bits, levels)


def _chunk_bits(bitstream: Bitstream, codes: Codes) -> float:
    """Return the most bits of the chunk of these frames: the coder ends within two words of the ideal."""
    tables = bitstream.tables
    if not bitstream.per_frame:
        depth = int((codes[0, :, 0] >= 0).sum())
        codes, tables = codes[:, :depth], tables.constant(depth)
    return float(ideal_bits(codes, tables).sum()) + 64 + 8 * CHUNK_HEAD.size
