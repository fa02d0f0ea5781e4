"""Streams of draws from a synthetic source, keyed by seed, rank, split and number."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, final

import torch
from torch import Tensor

from qcodec.data.source import SyntheticSource
from qcodec.random_streams import STREAMS, BatchStreams, stream_seed


@final
@dataclass(frozen=True)
class SyntheticStream:
    """Numbered draws of targets ``X`` and observations ``Y = Q X`` (arXiv 2502.04770, section 3).

    ``Q`` is the orthogonal matrix of the QR decomposition of a Gaussian matrix. On one kind of device a draw depends
    on (seed, rank, split, index) alone, so that a stream resumes anywhere and a member sees the same data alone and
    beside others.

    Attributes:
        source: Draws the targets.
        rotation: ``fixed`` for one matrix per seed, ``redrawn`` for one per draw.
        seed: Added to the seed of every member.
        rank: Rank of the process, with its own stream.
        split: Which stream: train, val, test or predict.
        device: Where to draw.
    """

    source: SyntheticSource
    rotation: Literal["fixed", "redrawn"] = "fixed"
    seed: int = 0
    rank: int = 0
    split: str = "train"
    device: torch.device | str = "cpu"

    def draw(self, index: int, seeds: Sequence[int] = (0,)) -> tuple[Tensor, Tensor]:
        """Draw number ``index`` of each member: target and observation, ``(members, features, frames)`` each.

        Example:
            >>> from qcodec.data.rounded_gaussian import RoundedGaussian
            >>> target, observation = SyntheticStream(RoundedGaussian(frames=5)).draw(0)
            >>> target.shape, bool(torch.allclose(target.norm(), observation.norm()))
            (torch.Size([1, 30, 5]), True)
        """
        sampler = Sampler(self, seeds)
        sampler.seek(index)
        return sampler.draw()


@final
class Sampler:
    """Makes draw after draw of a stream in tensors that keep their place, as a captured graph of a GPU needs them.

    Args:
        stream: The stream.
        seeds: One seed per member.
    """

    def __init__(self, stream: SyntheticStream, seeds: Sequence[int]) -> None:
        self.stream = stream
        self.streams = BatchStreams(len(seeds), stream.device)
        self._keys = tuple(stream.seed + seed for seed in seeds)
        self._rotation = _rotations(stream.source.features, self._keys, 0).to(stream.device, copy=True)

    def seek(self, index: int) -> None:
        """Choose the draw; ``draw`` then does the same work for every one."""
        place = (self.stream.rank, STREAMS[self.stream.split], index)
        self.streams.start([stream_seed(key, *place) for key in self._keys])
        if self.stream.rotation == "redrawn":
            self._rotation.copy_(_rotations(self.stream.source.features, self._keys, index))

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw target and observation of the chosen number, ``(members, features, frames)`` each.

        Raises:
            ValueError: Where the source draws another shape.
        """
        source = self.stream.source
        target, shape = source.draw(self.streams), (len(self._keys), source.features, source.frames)
        if target.shape != shape:
            raise ValueError(
                f"{type(source).__name__}.draw returned {tuple(target.shape)}: let it return {shape}, which is "
                "(streams.entries, features, frames)"
            )
        return target, self._rotation @ target


@lru_cache(maxsize=4)
def _rotations(features: int, seeds: tuple[int, ...], index: int) -> Tensor:
    generators = [torch.Generator().manual_seed(stream_seed(seed, STREAMS["rotation"], index)) for seed in seeds]
    gaussian = [torch.randn(features, features, generator=generator) for generator in generators]
    rotations: Tensor = torch.linalg.qr(torch.stack(gaussian))[0]
    return rotations
