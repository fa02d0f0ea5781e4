"""Keeps what ``predict`` gives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter


class PredictionWriter(BasePredictionWriter):
    """Writes each batch's prediction to ``<folder>/<rank>-<batch>.pt`` for ``torch.load(..., weights_only=True)``.

    Args:
        folder: Folder of the files, made if missing.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one batch."""
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(prediction, self.folder / f"{trainer.global_rank}-{batch_idx:05d}.pt")
