"""Data module of synthetic data of known information content, drawn where it is used."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from lightning import LightningDataModule, Trainer

from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.source import SyntheticSource
from qcodec.data.stream import SyntheticStream


@final
@dataclass(frozen=True)
class DrawBlock:
    """A batch that is not drawn yet: draws ``first .. first + count - 1`` of a stream.

    Lightning moves a batch with ``to``; here that is where the data will be drawn.
    """

    stream: SyntheticStream
    first: int
    count: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "DrawBlock":
        """Return the same draws on ``device``; nothing is copied."""
        return replace(self, stream=replace(self.stream, device=torch.device(device)))


@final
class _Blocks:
    """The blocks of one epoch, where training may resume anywhere.

    For training the task numbers the draws itself, by the updates that it has made.
    """

    def __init__(self, stream: SyntheticStream, draws: int, size: int, trainer: Trainer | None = None) -> None:
        self.stream, self.draws, self.size, self.trainer = stream, draws, size, trainer
        self._blocks_done = self._draws_done = 0

    def __len__(self) -> int:
        return -(-self.draws // self.size)

    def __iter__(self) -> Iterator[DrawBlock]:
        begin, done = self._blocks_done, self._draws_done
        self._blocks_done = self._draws_done = 0  # a resumed epoch is followed by whole ones
        for index in range(begin, len(self)):
            first, end = max(index * self.size, done), min((index + 1) * self.size, self.draws)
            yield DrawBlock(self.stream, first, end - first)  # empty where a run stopped right at its end

    def state_dict(self) -> dict[str, int]:
        """Return how far the epoch has come: blocks that the trainer has counted, and updates, also within a block."""
        if self.trainer is None:
            return {}
        blocks = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed
        return {"blocks": blocks % len(self), "draws": self.trainer.global_step % self.draws}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next epoch there."""
        self._blocks_done, self._draws_done = state.get("blocks", 0), state.get("draws", 0)


@final
class SyntheticBits(LightningDataModule):
    """Serves blocks of draws of a synthetic source; no data set, worker process or copy is involved.

    Args:
        source: Draws the targets; ``RoundedGaussian()`` if left out.
        rotation: ``fixed`` for one rotation of the observation per seed, ``redrawn`` for a new one with each draw.
        seed: Added to the seeds of the task, for other data with the same weights.
        updates_per_epoch: Updates in an epoch.
        updates_per_step: Updates in one call of ``training_step``; does not affect the result.
        held_out_draws: Draws in validation, test and prediction.

    Raises:
        ValueError: For counts below one or an unknown rotation.
    """

    def __init__(
        self,
        source: SyntheticSource | None = None,
        rotation: Literal["fixed", "redrawn"] = "fixed",
        seed: int = 0,
        updates_per_epoch: int = 2000,
        updates_per_step: int = 50,
        held_out_draws: int = 10,
    ) -> None:
        super().__init__()
        counts = {
            "updates_per_epoch": updates_per_epoch, "updates_per_step": updates_per_step,
            "held_out_draws": held_out_draws,
        }  # fmt: skip
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"data setting {name} is {count}: set it to 1 or more")
        if rotation not in ("fixed", "redrawn"):
            raise ValueError(f"rotation {rotation!r} is unknown: choose 'fixed' or 'redrawn'")
        self.source = RoundedGaussian() if source is None else source
        self.rotation, self.seed = rotation, seed
        self.updates_per_epoch, self.updates_per_step = updates_per_epoch, updates_per_step
        self.held_out_draws = held_out_draws

    def _blocks(self, split: str, draws: int, size: int) -> _Blocks:
        rank = self.trainer.global_rank if self.trainer else 0
        return _Blocks(SyntheticStream(self.source, self.rotation, self.seed, rank, split), draws, size)

    def train_dataloader(self) -> _Blocks:
        """Return blocks of updates; the task draws on from its own count of updates."""
        blocks = self._blocks("train", self.updates_per_epoch, self.updates_per_step)
        blocks.trainer = self.trainer
        return blocks

    def val_dataloader(self) -> _Blocks:
        """Return held-out draws, the same every time."""
        return self._blocks("val", self.held_out_draws, 1)

    def test_dataloader(self) -> _Blocks:
        """Return held-out draws other than those of validation."""
        return self._blocks("test", self.held_out_draws, 1)

    def predict_dataloader(self) -> _Blocks:
        """Return further held-out draws."""
        return self._blocks("predict", self.held_out_draws, 1)
