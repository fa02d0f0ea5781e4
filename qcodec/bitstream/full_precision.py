"""The arithmetic of files: float32 in full, so that a file means the same on every device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolve in float32 inside the block, where cuDNN by default rounds the factors to TF32's ten bits of mantissa.

    TF32 moves an embedding by about 1e-3 of its size, so codes flip: a clip encoded in windows on a GPU then has other
    codes than the whole clip, and than on the CPU. The setting is the process's; it is restored at the end.

    Example:
        >>> with full_precision():
        ...     torch.backends.cudnn.allow_tf32
        False
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
