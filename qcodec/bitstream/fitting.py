"""Tables fitted to the codes of some recordings, and their place in a model's file."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from qcodec.audio.reading import Recording
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.codes import Codes
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.rate_control import sent_codes
from qcodec.bitstream.tables import Tables

_LEVELS = 6  # of variable bitrate that tables are fitted to, all alike
_CODES, _DEPTH = "tables.codes.", "tables.depth"


def codes_to_fit(bitstream: Bitstream, recording: Recording) -> Iterator[Codes]:
    """Return the codes of a recording that tables are fitted to: every code, or those sent at several levels."""
    levels = bitstream.levels(_LEVELS) if bitstream.per_frame else (None,)
    for block in Encoder(bitstream).blocks(recording.blocks(), levels):
        yield from (sent_codes(bitstream, block, level, levels) for level in levels)


def tables_to_tensors(tables: Tables) -> dict[str, Tensor]:
    """Return tables as tensors that a model's file holds beside its weights."""
    tensors = {f"{_CODES}{index}": torch.from_numpy(row) for index, row in enumerate(tables.codes)}
    return tensors if tables.depth is None else {**tensors, _DEPTH: torch.from_numpy(tables.depth)}


def tables_from_tensors(tensors: Mapping[str, Tensor]) -> Tables | None:
    """Return the tables that a model's file holds, or ``None``.

    Raises:
        ValueError: For tables that are damaged.
    """
    count = sum(name.startswith(_CODES) for name in tensors)
    if not count:
        return None
    try:
        codes = tuple(tensors[f"{_CODES}{index}"].numpy().astype(np.int64) for index in range(count))
        depth = tensors[_DEPTH].numpy().astype(np.int64) if _DEPTH in tensors else None
        return Tables(codes, depth)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"holds damaged tables: fit them again with `qcodec tables` ({error})") from None
