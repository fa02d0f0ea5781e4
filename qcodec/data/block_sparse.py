"""A synthetic source that is zero most of the time."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from qcodec.data.level_source import at_least, at_most
from qcodec.data.source import SyntheticSource
from qcodec.functional import nearest_level
from qcodec.random_streams import BatchStreams
from qcodec.rate import entropy, gaussian_source, parallel_curve


@final
@dataclass(frozen=True)
class BlockSparse(SyntheticSource):
    """Frames in blocks of values, each zero as a whole or else a rounded Gaussian; blocks are independent.

    An even number of levels has none at zero, so that the values tell which blocks are active.

    Attributes:
        features: Values per frame.
        frames: Frames per draw.
        levels: Even number of levels, one apart, of an active value.
        block: Values per block; it divides ``features``.
        active: Probability that a block is active.

    Raises:
        ValueError: For sizes below one, an odd number of levels, a block that does not divide the features, or a
            probability that is not above zero and at most one.

    Example:
        >>> round(BlockSparse(active=1.0).entropy_bits(), 2), round(BlockSparse().entropy_bits(), 2)
        (57.04, 19.13)
    """

    features: int = 30
    frames: int = 2000
    levels: int = 4
    block: int = 5
    active: float = 0.25

    def __post_init__(self) -> None:
        for name, least in (("features", 1), ("frames", 1), ("levels", 2), ("block", 1)):
            at_least(name, getattr(self, name), least)
        at_most("active", self.active, 1.0, 1e-6)
        if self.levels % 2:
            raise ValueError(f"data setting source.levels is {self.levels}: set it to an even number, without a zero")
        if self.features % self.block:
            raise ValueError(f"data setting source.block is {self.block}: set it to a divisor of {self.features}")

    def draw(self, streams: BatchStreams) -> Tensor:
        """Draw targets ``(streams.entries, features, frames)``."""
        value = nearest_level(streams.normal((streams.entries, self.features, self.frames)), self.levels)[1]
        blocks = streams.uniform((streams.entries, self.features // self.block, self.frames)) < self.active
        return value * blocks.repeat_interleave(self.block, dim=1)

    def entropy_bits(self) -> float:
        """Return the entropy in bits per frame: of the blocks' choice, and of the active values."""
        choice = float(entropy(torch.tensor([self.active, 1 - self.active], dtype=torch.float64)))
        value = float(entropy(gaussian_source(self.levels)[1]))
        return self.features * (self.active * value + choice / self.block)

    def rate_distortion(self) -> tuple[Tensor, Tensor]:
        """Return a lower bound of R(D), in bits per frame and squared error per value, exact for blocks of one value.

        It is R(D) where the decoder is told the first value of each block for nothing, once it has decoded it, and with
        that whether the others are zero (the chain rule, as in Gray, IEEE Trans. Inf. Theory 19(4), 1973); at no
        distortion it is the entropy.
        """
        rate, distortion = _told(self.levels, self.block, self.active)
        return self.features * rate, distortion

    def references(self) -> Mapping[str, float]:
        """Return the squared error without information, the variance."""
        value, probability = gaussian_source(self.levels)
        return {"zero information": self.active * float((probability * value.square()).sum())}


@lru_cache
def _told(levels: int, block: int, active: float) -> tuple[Tensor, Tensor]:
    value, probability = gaussian_source(levels)
    middle, zero = levels // 2, value.new_zeros(1)
    parts = active * probability[:middle], 1 - active + zero, active * probability[middle:]
    first = torch.cat([value[:middle], zero, value[middle:]]), torch.cat(parts)
    return parallel_curve([first, (value, probability)], [1 / block, active * (block - 1) / block])
