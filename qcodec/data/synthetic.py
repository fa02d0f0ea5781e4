"""Synthetic data of known information content, drawn where it is used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, final

import torch
from lightning import LightningDataModule, Trainer
from torch import Tensor

from qcodec.functional import nearest_level
from qcodec.random_streams import STREAMS, BatchStreams, stream_seed


@dataclass(frozen=True)
class SyntheticSource:
    """Draws the data of arXiv 2502.04770, section 3: the target ``X_q`` and the observation ``Y = Q X_q``.

    ``X_q`` is white Gaussian noise rounded to the nearest of ``levels`` levels one apart, ``Q`` the orthogonal matrix
    of the QR decomposition of a Gaussian matrix. On one kind of device a draw depends on (seed, rank, split, index)
    alone, so that a stream resumes anywhere and a member sees the same data alone and beside others.

    Attributes:
        features: Values per frame, the paper's P.
        frames: Frames per draw, the paper's N.
        levels: Number of levels; each value carries the entropy of a rounded normal variable, 1.9014 bits for four.
        rotation: ``fixed`` for one matrix per seed, ``redrawn`` for one per draw.
        seed: Added to the seed of every member.
        rank: Rank of the process, with its own stream.
        split: Which stream: train, val, test or predict.
        device: Where to draw.
    """

    features: int = 30
    frames: int = 2000
    levels: int = 4
    rotation: Literal["fixed", "redrawn"] = "fixed"
    seed: int = 0
    rank: int = 0
    split: str = "train"
    device: torch.device | str = "cpu"

    def draw(self, index: int, seeds: Sequence[int] = (0,)) -> tuple[Tensor, Tensor]:
        """Draw number ``index`` of each member's stream: target and observation, ``(members, features, frames)`` each.

        Example:
            >>> target, observation = SyntheticSource(frames=5).draw(0)
            >>> target.shape, bool(torch.allclose(target.norm(), observation.norm()))
            (torch.Size([1, 30, 5]), True)
        """
        sampler = Sampler(self, seeds)
        sampler.seek(index)
        return sampler.draw()

    def no_learning_mse(self) -> float:
        """MSE per value of quantizing the observation itself and rotating back: what learning must beat.

        Example:
            >>> round(SyntheticSource().no_learning_mse(), 2)
            0.1
        """
        observation = torch.cat([replace(self, split="val").draw(i)[1] for i in range(20)])
        return float((nearest_level(observation, self.levels)[1] - observation).square().mean())


@final
class Sampler:
    """Makes draw after draw of a source from tensors that keep their place, as a captured graph of a GPU needs them.

    Args:
        source: The source.
        seeds: One seed per member.
    """

    def __init__(self, source: SyntheticSource, seeds: Sequence[int]) -> None:
        self.source = source
        self.streams = BatchStreams(len(seeds), source.device)
        self._keys = tuple(source.seed + seed for seed in seeds)
        self._rotation = _rotations(source.features, self._keys, 0).to(source.device, copy=True)

    def seek(self, index: int) -> None:
        """Choose the draw; what ``draw`` then does is the same for every one."""
        place = (self.source.rank, STREAMS[self.source.split], index)
        self.streams.start([stream_seed(key, *place) for key in self._keys])
        if self.source.rotation == "redrawn":
            self._rotation.copy_(_rotations(self.source.features, self._keys, index))

    def draw(self) -> tuple[Tensor, Tensor]:
        """Give target and observation of the chosen draw, ``(members, features, frames)`` each."""
        noise = self.streams.normal((len(self._keys), self.source.features, self.source.frames))
        target = nearest_level(noise, self.source.levels)[1]
        return target, self._rotation @ target


@lru_cache(maxsize=4)
def _rotations(features: int, seeds: tuple[int, ...], index: int) -> Tensor:
    generators = [torch.Generator().manual_seed(stream_seed(seed, STREAMS["rotation"], index)) for seed in seeds]
    gaussian = [torch.randn(features, features, generator=generator) for generator in generators]
    rotations: Tensor = torch.linalg.qr(torch.stack(gaussian))[0]
    return rotations


@dataclass(frozen=True)
class DrawBlock:
    """A batch that is not drawn yet: draws ``first .. first + count - 1`` of a source.

    Lightning moves a batch with ``to``; here that is where the data will be drawn.
    """

    source: SyntheticSource
    first: int
    count: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "DrawBlock":
        """Give the same draws on ``device``; nothing is copied."""
        return replace(self, source=replace(self.source, device=torch.device(device)))


class _Blocks:
    """The blocks of one epoch, where training may resume anywhere.

    For training the task numbers the draws itself, by the updates that it has made.
    """

    def __init__(self, source: SyntheticSource, draws: int, size: int, trainer: Trainer | None = None) -> None:
        self.source, self.draws, self.size, self.trainer = source, draws, size, trainer
        self._blocks_done = self._draws_done = 0

    def __len__(self) -> int:
        return -(-self.draws // self.size)

    def __iter__(self) -> Iterator[DrawBlock]:
        begin, done = self._blocks_done, self._draws_done
        self._blocks_done = self._draws_done = 0  # a resumed epoch is followed by whole ones
        for index in range(begin, len(self)):
            first, end = max(index * self.size, done), min((index + 1) * self.size, self.draws)
            yield DrawBlock(self.source, first, end - first)  # empty where a run stopped right at its end

    def state_dict(self) -> dict[str, int]:
        """Say how far the epoch has come: blocks that the trainer has counted, and updates, also within a block."""
        if self.trainer is None:
            return {}
        blocks = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed
        return {"blocks": blocks % len(self), "draws": self.trainer.global_step % self.draws}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next epoch there."""
        self._blocks_done, self._draws_done = state.get("blocks", 0), state.get("draws", 0)


class SyntheticBits(LightningDataModule):
    """Serves blocks of draws of a ``SyntheticSource``; no data set, worker process or copy is involved.

    Args:
        features: Values per frame, the paper's P.
        frames: Frames per update, the paper's N.
        levels: Number of levels of the target.
        rotation: ``fixed`` for one rotation per seed, ``redrawn`` for a new one with each draw.
        seed: Added to the seeds of the task, for other data with the same weights.
        updates_per_epoch: Updates in an epoch.
        updates_per_step: Updates in one call of ``training_step``; does not affect the result.
        held_out_draws: Draws in validation, test and prediction.

    Raises:
        ValueError: For sizes below one or an unknown rotation.
    """

    def __init__(
        self,
        features: int = 30,
        frames: int = 2000,
        levels: int = 4,
        rotation: Literal["fixed", "redrawn"] = "fixed",
        seed: int = 0,
        updates_per_epoch: int = 2000,
        updates_per_step: int = 50,
        held_out_draws: int = 10,
    ) -> None:
        super().__init__()
        sizes = {
            "features": features, "frames": frames, "levels": levels - 1, "updates_per_epoch": updates_per_epoch,
            "updates_per_step": updates_per_step, "held_out_draws": held_out_draws,
        }  # fmt: skip
        for name in (n for n, size in sizes.items() if size < 1):
            raise ValueError(f"data setting {name} is too small: give {2 if name == 'levels' else 1} or more")
        if rotation not in ("fixed", "redrawn"):
            raise ValueError(f"rotation {rotation!r} is unknown: choose 'fixed' or 'redrawn'")
        self.source = SyntheticSource(features, frames, levels, rotation, seed)
        self.updates_per_epoch, self.updates_per_step = updates_per_epoch, updates_per_step
        self.held_out_draws = held_out_draws

    def _blocks(self, split: str, draws: int, size: int) -> _Blocks:
        rank = self.trainer.global_rank if self.trainer else 0
        return _Blocks(replace(self.source, rank=rank, split=split), draws, size)

    def train_dataloader(self) -> _Blocks:
        """Blocks of updates; the task draws on from its own count of updates."""
        blocks = self._blocks("train", self.updates_per_epoch, self.updates_per_step)
        blocks.trainer = self.trainer
        return blocks

    def val_dataloader(self) -> _Blocks:
        """Held-out draws, the same every time."""
        return self._blocks("val", self.held_out_draws, 1)

    def test_dataloader(self) -> _Blocks:
        """Held-out draws other than those of validation."""
        return self._blocks("test", self.held_out_draws, 1)

    def predict_dataloader(self) -> _Blocks:
        """Further held-out draws."""
        return self._blocks("predict", self.held_out_draws, 1)
