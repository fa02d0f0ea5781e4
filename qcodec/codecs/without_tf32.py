"""The arithmetic in which codes are found and decoded: the same on every device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolve in float32 inside the block, where cuDNN by default rounds the factors to TF32's ten bits of mantissa.

    That rounding flips codes, so that windows of a clip on a GPU have other codes than the whole clip, and than on the
    CPU. The setting is the process's; it is restored at the end. Mixed precision is another matter: ``full_precision``.

    Example:
        >>> with without_tf32():
        ...     torch.backends.cudnn.allow_tf32
        False
    """
    # each by itself: their common setting cannot be read where they differ
    operations = [getattr(torch.backends.cudnn, name) for name in ("conv", "rnn")]
    before = [operation.fp32_precision for operation in operations]
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision
