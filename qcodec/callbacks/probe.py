"""The first clips of the validation data, to be heard and drawn at every validation."""

import torch
from lightning import Trainer
from torch import Tensor


class Probe:
    """Keeps the first clips of the first validation, on the first rank; later ones are shown the same.

    Args:
        wanted: Number of clips; where the data have fewer of one length, all of these.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._kept: list[Tensor] = []
        self._complete = False

    def collect(self, trainer: Trainer, batch: Tensor) -> None:
        """Keep clips of a batch ``(B, 1, L)`` as long as some are missing and lengths are alike."""
        if self._complete or trainer.sanity_checking or not trainer.is_global_zero:
            return
        if self._kept and self._kept[0].shape[1:] != batch.shape[1:]:
            return
        self._kept.append(batch[: self._wanted - sum(map(len, self._kept))].detach())
        self._complete = sum(map(len, self._kept)) >= self._wanted

    def clips(self) -> Tensor | None:
        """Return the clips ``(B, 1, L)``, which are the same from now on; ``None`` where none was collected."""
        self._complete = self._complete or bool(self._kept)
        return torch.cat(self._kept) if self._kept else None
