"""Loaders of crops in batches, for several ranks and worker processes."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from qcodec.data.audio_crops import CropBatch, CropSource
from qcodec.data.audio_report import AudioReport


@dataclass(frozen=True)
class BatchPlan:
    """Which crops make a batch: batch ``k`` of rank ``r`` takes the ``size`` crops from ``(k ranks + r) size`` on.

    Attributes:
        size: Crops in a batch.
        batches: Batches in an epoch.
        rank: Rank of the process.
        ranks: Number of processes that train together.
    """

    size: int
    batches: int
    rank: int = 0
    ranks: int = 1

    def numbers(self, batch: int) -> list[int]:
        """Return the numbers of the crops of a batch.

        Example:
            >>> BatchPlan(size=2, batches=10, rank=1, ranks=2).numbers(3)
            [14, 15]
        """
        first = (batch * self.ranks + self.rank) * self.size
        return list(range(first, first + self.size))


class CropLoader(ABC):
    """Batches ``(B, 1, L)`` of crops, the same for any number of worker processes.

    Args:
        source: Draws the crops.
        report: Told about files that turn out to be bad.
        plan: Which crops make a batch.
        workers: Worker processes, at most one for each processor; 0 to draw in this one.

    Raises:
        OSError: On reading, if file after file cannot be read.
        ValueError: On reading, if more files are bad than the report allows.
    """

    def __init__(self, source: CropSource, report: AudioReport, plan: BatchPlan, workers: int = 0) -> None:
        self.source, self.report, self.plan, self.workers = source, report, plan, workers

    @abstractmethod
    def position(self) -> tuple[int, int]:
        """Return the number of the next batch, and how many are left in its epoch."""

    def __len__(self) -> int:
        return self.plan.batches

    def __iter__(self) -> Iterator[Tensor]:
        begin, left = self.position()
        loader: DataLoader[CropBatch] = DataLoader(
            self.source,
            batch_sampler=[self.plan.numbers(batch) for batch in range(begin, begin + left)],
            num_workers=min(self.workers, _processors()),
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # the loader's own draw must not move the global stream
        )
        try:
            for batch in loader:
                self.report.add(batch.faults)
                yield batch.audio
        except OSError as error:  # a worker's error comes with its traceback
            raise OSError(str(error).strip().splitlines()[-1].removeprefix("OSError: ")) from error


@final
class HeldOutLoader(CropLoader):
    """The same batches each time."""

    def position(self) -> tuple[int, int]:
        """Return the first batch, and the whole epoch."""
        return 0, self.plan.batches


@final
class TrainingLoader(CropLoader):
    """New batches in each epoch, beginning where the trainer's count of batches stands, also within an epoch.

    Batches that workers have prepared beyond that count are dropped.

    Attributes:
        trainer: Set by the data module; without one, each pass serves the first epoch.
    """

    trainer: Trainer | None = None

    def position(self) -> tuple[int, int]:
        """Return the trainer's counts."""
        if self.trainer is None:
            return 0, self.plan.batches
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        return progress.total.completed, self.plan.batches - progress.current.completed

    def state_dict(self) -> dict[str, int]:
        """Return nothing beside the trainer's counts; that the method exists lets Lightning resume within an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Accept the empty state: see ``position``."""


def _processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_it_is(batch: Any) -> Any:
    return batch
