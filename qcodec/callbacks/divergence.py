"""Ends a run that has diverged, and keeps its last good checkpoint."""

import logging
import math
from pathlib import Path
from typing import Any, final

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

_log = logging.getLogger(__name__)
_GOOD = "-good"  # what the name of a checkpoint of before a divergence ends in


@final
class DivergenceGuard(Callback):
    """Ends the fit once the loss is not finite or MA-E above a limit, and logs ``diverged_at``, the first such update.

    For tasks whose ``training_step`` returns ``loss`` and ``ma_e``. Every update is looked at, but only every
    ``log_every_n_steps`` updates and at the end of an epoch is the device waited for. The newest whole checkpoint of
    before the divergence, whichever callback wrote it, is set apart under its name with ``-good`` added, since the end
    of the fit may write another one.

    Args:
        ma_e: Highest mean absolute embedding of a batch that a run may show.

    Raises:
        ValueError: For a limit that is not above zero.
    """

    def __init__(self, ma_e: float = 1000.0) -> None:
        if not ma_e > 0:
            raise ValueError(f"ma_e={ma_e} would end every run: give a limit above 0")
        self.ma_e = float(ma_e)
        self._at: Tensor | None = None
        self._told = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check one update, without waiting for the device but where it is logged."""
        lost = ~(outputs["loss"].isfinite() & (outputs["ma_e"] <= self.ma_e))
        at = torch.where(lost, float(trainer.global_step), math.inf)
        self._at = at if self._at is None else torch.minimum(self._at.to(at), at)
        settings: Any = trainer
        if trainer.global_step % settings.log_every_n_steps == 0:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before the checkpoint of an epoch is written."""
        self._check(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a resumed run that had diverged already."""
        self._told = False
        if self._at is not None:
            self._at = self._at.to(pl_module.device)  # where ranks can compare it
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if self._at is None or self._told:
            return
        self._at = torch.as_tensor(trainer.strategy.reduce(self._at, reduce_op="min"))  # for any rank's checkpoint
        at = float(self._at)
        if at == math.inf:
            return
        trainer.should_stop = self._told = True
        for logger in trainer.loggers:
            logger.log_metrics({"diverged_at": at}, step=trainer.global_step)
        if trainer.is_global_zero:
            kept = _set_apart(trainer, at)
            _log.warning("diverged at update %d: loss not finite or MA-E above %g; %s", at, self.ma_e, kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the update at which the run diverged, infinite if it did not."""
        return {"diverged_at": math.inf if self._at is None else float(self._at)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read it from a checkpoint."""
        self._at = torch.tensor(state_dict["diverged_at"])


def _set_apart(trainer: Trainer, diverged_at: float) -> str:
    """Rename the newest checkpoint of before the divergence, and return a message on what there is."""
    updates = {path: done for path in _checkpoints(trainer) if (done := _updates(path)) is not None}
    good = {path: done for path, done in updates.items() if done < diverged_at}
    if not good:
        return f"{', '.join(map(str, updates))} is of after that" if updates else "there is no checkpoint of before"
    path = max(good, key=lambda path: (good[path], path.stem.endswith(_GOOD)))
    if not path.stem.endswith(_GOOD):
        path = path.replace(path.with_stem(path.stem + _GOOD))
    return f"the last checkpoint of before is {path}"


def _checkpoints(trainer: Trainer) -> list[Path]:
    """Return every checkpoint in the folders that callbacks of this run write to."""
    folders = {
        Path(callback.dirpath)
        for callback in trainer.checkpoint_callbacks
        if isinstance(callback, ModelCheckpoint) and callback.dirpath
    }
    return sorted(path for folder in folders for path in folder.glob("*.ckpt") if not path.is_symlink())


def _updates(path: Path) -> int | None:
    """Read the updates that a checkpoint is of; ``None`` for a file that is cut off or something else."""
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except Exception:  # a damaged file can fail in any way
        return None
