"""Writes the results of ``predict``."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer


class PredictionWriter(Callback):
    """Writes each batch's prediction to ``<folder>/<rank>-<batch>.pt`` for ``torch.load(..., weights_only=True)``.

    Args:
        folder: Folder of the files, made if missing.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one batch."""
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(outputs, self.folder / f"{trainer.global_rank}-{batch_idx:05d}.pt")
