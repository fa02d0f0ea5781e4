"""What is said where a recording does not fit the memory of a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from qcodec.bitstream.bitstream import Bitstream


@contextmanager
def fitting_memory(bitstream: Bitstream, source: Path | str) -> Iterator[None]:
    """Raise a one-line error with the remedies where the device runs out of memory over a file.

    Raises:
        ValueError: Then.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise ValueError(
            f"{source} does not fit the memory of {bitstream.device}: give --window less than {bitstream.window} "
            "frames, or --device cpu"
        ) from None
