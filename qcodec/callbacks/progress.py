"""One line of progress."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class ProgressLine(TQDMProgressBar):
    """Lightning's progress bar on plain terminals and in files: the epoch, its metrics and nothing else.

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
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}
