"""Ctrl-C and SIGTERM between two updates, never inside one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, final

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

_ENDS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SIGTERMException}


@contextmanager
def signals_given_back() -> Iterator[None]:
    """Return a context after which signals are handled as before it, however a fit within has ended."""
    former = {number: signal.getsignal(number) for number in _ENDS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in former.items():
                signal.signal(number, handler)


@final
class SignalsBetweenUpdates(Callback):
    """Ends a fit in one process at a signal once the update, or the validation, under way is done.

    Inside an update the state is neither that before it nor that after it: an optimizer has stepped and is not counted,
    a quantizer has counted and the optimizer has not stepped. A checkpoint of it would not resume to the same numbers.
    A second Ctrl-C ends the fit at once. Run it within ``signals_given_back``. Of several ranks each would end at
    another update: they keep Lightning's way.
    """

    def __init__(self) -> None:
        self._received: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over, from Lightning too, which ends a validation at SIGTERM and so loses its row."""
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._received = None
            for number in _ENDS:
                signal.signal(number, self._note)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """End the fit where a signal has come since the last update."""
        if self._received is not None:
            raise _ENDS[self._received]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = number
