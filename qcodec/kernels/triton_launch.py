"""Which tensors Triton's kernels take, and the trial of a kernel before its first use."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from qcodec.kernels.build import untransformed

Kernels = TypeVar("Kernels")
_log = logging.getLogger(__name__)
_told: set[tuple[torch.device, str]] = set()
SLOW_SURROGATE = "the surrogate codec takes several times longer"


def on_gpu(*tensors: Tensor, dtypes: Sequence[torch.dtype] = (torch.float32,)) -> bool:
    """Return whether kernels may take these tensors as they lie: contiguous, on one GPU, and not switched off."""
    device = tensors[0].device
    fit = all(t.dtype in dtypes and t.device == device and t.is_contiguous() for t in tensors)
    return device.type == "cuda" and fit and untransformed(*tensors)


def current(x: Tensor) -> torch.cuda.device:
    """Return a context that launches kernels on the GPU of ``x``; on none if it is on the CPU."""
    return torch.cuda.device(x.get_device())


def tried(trial: Callable[[], Kernels], device: torch.device, loss: str) -> Kernels | None:
    """Return the kernels that a trial has run; ``None``, after one warning that names the loss, where it fails."""
    try:
        return trial()
    except Exception as error:  # of Triton, of its C compiler or of the driver: none of them is needed to train
        if (device, loss) not in _told:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            _log.warning("Triton runs no kernels on %s (%s), so %s there", device, reason, loss)
        _told.add((device, loss))
        return None
