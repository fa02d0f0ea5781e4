"""Where Triton's kernels run: on GPUs, as far as the machine can compile them."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from qcodec.native.build import untransformed

_log = logging.getLogger(__name__)
_without: set[torch.device] = set()


def on_gpu(*tensors: Tensor) -> bool:
    """Whether kernels may take these tensors as they lie: contiguous float32 on one GPU, and not switched off."""
    device = tensors[0].device
    fit = all(t.dtype == torch.float32 and t.device == device and t.is_contiguous() for t in tensors)
    return device.type == "cuda" and fit and untransformed(*tensors)


def current(x: Tensor) -> torch.cuda.device:
    """Give a context in which a kernel is launched on the GPU of ``x``, if it is on one."""
    return torch.cuda.device(x.get_device())


def runs(trial: Callable[[], object], device: torch.device) -> bool:
    """Whether a trial of kernels succeeds; the first one that fails on a device is told in a warning."""
    try:
        trial()
    except Exception as error:  # of Triton, of its C compiler or of the driver: none of them is needed to train
        if device not in _without:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            _log.warning(
                "Triton runs no kernels on %s (%s), so PyTorch's operations are used, several times slower for the "
                "surrogate codec; QCODEC_NATIVE=0 silences this", device, reason
            )  # fmt: skip
        _without.add(device)
        return False
    return True
