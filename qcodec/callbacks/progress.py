"""Progress: one line that moves in a terminal, one line an epoch anywhere else."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


def progress() -> ProgressBar:
    """Return what shows progress here: a bar in a terminal, else lines that a file can hold."""
    return ProgressLine() if sys.stderr.isatty() else EpochLines()


class ProgressLine(TQDMProgressBar):
    """Lightning's progress bar for terminals: the epoch, its metrics and nothing else.

    Args:
        refresh_rate: Number of steps between two updates of the line.
    """

    def __init__(self, refresh_rate: int = 5) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def init_validation_tqdm(self) -> Tqdm:
        """Return a bar that is not shown, for the short validation between epochs."""
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the metrics that the task logs for the line."""
        return _of_the_task(super().get_metrics(trainer, pl_module))


class EpochLines(ProgressBar):
    """One line at the end of each epoch: update, time and the metrics that the task logs for it."""

    def __init__(self) -> None:
        super().__init__()
        self._begun, self._enabled = 0.0, True

    def disable(self) -> None:
        """Print nothing, as Lightning asks on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Print lines."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time."""
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line."""
        if not self._enabled:
            return
        most = f" of {trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        shown = _of_the_task(self.get_metrics(trainer, pl_module))
        numbers = ", ".join(f"{name} {_short(value)}" for name, value in shown.items())
        done = f"update {trainer.global_step:,}, {time.monotonic() - self._begun:.0f} s"
        print(f"epoch {trainer.current_epoch + 1}{most} ({done}): {numbers}", file=sys.stderr, flush=True)


def _of_the_task(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics without the number of W&B's run, which Lightning adds."""
    return {name: value for name, value in metrics.items() if name != "v_num"}


def _short(value: Any) -> str:
    return f"{float(value):.3g}" if isinstance(value, int | float) else str(value)
