"""Tables in the weight file of the model whose codes they are for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from qcodec.atomic_write import atomic_write
from qcodec.audio.reading import Recording
from qcodec.bitstream.codes import Codes, regroup
from qcodec.bitstream.container import CHUNK_FRAMES
from qcodec.bitstream.rate_control import dial_of
from qcodec.bitstream.stream import Bitstream
from qcodec.bitstream.tables import Tables
from qcodec.codecs.dac.weight_file import read_weight_file

LEVELS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # levels of variable bitrate that tables are fitted to, all alike


def model_tables(path: Path) -> Tables | None:
    """Give the tables that a weight file holds, or ``None``.

    Raises:
        ValueError: For tables that are damaged.
        OSError: Where the file cannot be opened.
    """
    kept = read_weight_file(path).qcodec.get("tables")
    if kept is None:
        return None
    try:
        codes, depth = (kept[name].numpy().astype(np.int64) for name in ("codes", "depth"))
        return Tables(codes, depth)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} holds damaged tables: fit them again with `qcodec tables` ({error})") from None


def add_tables(path: Path, output: Path, tables: Tables) -> None:
    """Write a weight file again with tables beside all that it holds; ``dac`` passes over them.

    Raises:
        ValueError: For a file that is no weight file.
        OSError: Where it cannot be read or written.
    """
    file = read_weight_file(path)
    kept = {"codes": torch.from_numpy(tables.codes), "depth": torch.from_numpy(tables.depth)}
    with atomic_write(output) as part:
        torch.save(file.with_qcodec(tables=kept), part)


def codes_to_fit(bitstream: Bitstream, recording: Recording) -> Iterator[Codes]:
    """Give the codes of a recording that tables are fitted to: every code, or those sent at ``LEVELS`` one by one."""
    levels = LEVELS if bitstream.per_frame else (None,)
    dial = dial_of(bitstream.quantizer.allocator, bitstream.quantizer.n_codebooks, levels)
    for block in regroup(bitstream.rows(recording.blocks(), dial), CHUNK_FRAMES):
        yield from (dial.sent(block, level) for level in levels)
