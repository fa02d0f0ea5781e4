"""Trains a codec's layers as compiled code."""

from collections.abc import Callable
from typing import Any, Literal, final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from qcodec.codecs.base import Codec

_METHODS = ("embed", "synthesize")


@final
class Compile(Callback):
    """Compiles the codec's ``embed`` and ``synthesize`` by ``torch.compile`` for the updates of a fit.

    What lies between and after them, the quantizer in float32, losses, discriminator and optimizer, runs as ever, and
    so do validation and all else outside of training, whose lengths differ. Weights, their names, checkpoints and
    exported files are the same as without; a run may be resumed with or without. The first update takes a minute or
    more, and so does the first of another batch size or length. Losses agree up to rounding, in bfloat16 to that of
    bfloat16. For tasks with a ``Codec`` as ``codec``.

    Args:
        mode: ``default``, or ``max-autotune-no-cudagraphs``, which tries several kernels for each layer at the start.
            Modes with CUDA graphs, which overwrite in each update what the layers of ``dac`` keep, are not to be had.
        backend: What compiles: a name of ``torch.compiler.list_backends()``, or ``aot_eager``, which compiles nothing
            but takes the same way, for tests.

    Raises:
        ValueError: In a fit of another task, or where the backend does not work on its device.
    """

    def __init__(
        self, mode: Literal["default", "max-autotune-no-cudagraphs"] = "default", backend: str = "inductor"
    ) -> None:
        self.mode, self.backend = mode, backend
        self._codec: Codec | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put compiled methods in the place of the codec's."""
        codec = getattr(pl_module, "codec", None)
        if not isinstance(codec, Codec):
            raise ValueError(f"{type(pl_module).__name__} has no Codec as `codec`: leave Compile out")
        self._try_out(pl_module.device)
        for name in _METHODS:
            method = getattr(codec, name)
            setattr(codec, name, _in_training(codec, self._compiled(method), method))
        self._codec = codec

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the codec's own methods."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the codec's own methods."""
        self._restore()

    def _restore(self) -> None:
        if self._codec is not None:
            for name in _METHODS:
                delattr(self._codec, name)  # what hid those of its class
            self._codec = None

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(function, mode=self.mode, backend=self.backend)
        return compiled

    def _try_out(self, device: torch.device) -> None:
        """Raise at once, in one line, where compiling is bound to fail: with no C++ compiler, for one."""
        try:
            self._compiled(torch.sin)(torch.ones(8, device=device))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"Compile with backend={self.backend!r} does not work on {device}: {reason}. "
                "Install a C++ compiler such as g++ and, for a GPU, Triton, or leave the callback out"
            ) from error


def _in_training(codec: Codec, compiled: Callable[..., Any], eager: Callable[..., Any]) -> Callable[[Tensor], Any]:
    def method(x: Tensor) -> Any:
        return compiled(x) if codec.training else eager(x)

    return method
