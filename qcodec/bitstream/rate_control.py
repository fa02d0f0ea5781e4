"""Which stages a level sends, so that a recording is encoded once and sent at any level."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qcodec.bitstream.code_cache import Block, CodeCache
from qcodec.bitstream.codes import Codes, depth_of
from qcodec.bitstream.rate_search import level_for, stages_for
from qcodec.bitstream.tables import Tables
from qcodec.quantizers.allocators import AllCodebooks, CodebookDropout, RateAllocator, evaluation_depth
from qcodec.quantizers.importance import ImportanceMask


class Dial(ABC):
    """Decides by the level which codes of a block are sent."""

    @abstractmethod
    def rows(self, z: Tensor, features: Tensor) -> Tensor:
        """Give what this decides by, int32 ``(C, r, T)``, from embedding and features of a window."""

    @abstractmethod
    def sent(self, block: Block, level: float | None) -> Codes:
        """Give the codes ``(C, N_q, T)`` of a block that are sent, -1 for the others.

        Raises:
            ValueError: For a level that the model does not have.
        """

    @abstractmethod
    def depth(self, blocks: Iterable[Block], level: float | None) -> int | None:
        """Give the number of stages that every frame of the blocks sends, or ``None`` where each tells its own."""

    @abstractmethod
    def level_for(self, spool: CodeCache, tables: Tables, bits: float) -> float:
        """Find the highest level whose chunks take no more than ``bits`` bits.

        Raises:
            ValueError: Where one stage a frame takes more, or levels cannot be compared.
        """


@final
class ConstantDial(Dial):
    """Sends the same stages of every frame.

    Args:
        stages: Number of stages, N_q.
    """

    def __init__(self, stages: int) -> None:
        self._stages = stages

    def rows(self, z: Tensor, features: Tensor) -> Tensor:
        """Nothing is needed."""
        return z.new_empty((len(z), 0, z.shape[2]), dtype=torch.int32)

    def sent(self, block: Block, level: float | None) -> Codes:
        """Send the first ``level`` stages, all if that is left out."""
        return _leading(block, evaluation_depth(level, self._stages, training=False))

    def depth(self, blocks: Iterable[Block], level: float | None) -> int | None:
        """Give the level itself."""
        return evaluation_depth(level, self._stages, training=False)

    def level_for(self, spool: CodeCache, tables: Tables, bits: float) -> float:
        """Find the most stages that fit."""
        return stages_for(spool, tables, bits)


@final
class ImportanceDial(Dial):
    """Sends what the importance of a frame asks for, which is kept as the bits of a float32.

    Args:
        allocator: Gives the importance.
        stages: Number of stages, N_q.
    """

    def __init__(self, allocator: ImportanceMask, stages: int) -> None:
        self._allocator, self._stages = allocator, stages

    def rows(self, z: Tensor, features: Tensor) -> Tensor:
        """Give the importance."""
        return self._allocator.importance(features).float().contiguous().view(torch.int32).unsqueeze(1)

    def sent(self, block: Block, level: float | None) -> Codes:
        """Send as the allocator does at this level."""
        importance = torch.from_numpy(np.ascontiguousarray(block[:, -1])).view(torch.float32)
        mask = self._allocator.mask_at(importance, self._stages, level)
        return np.where(mask.numpy() > 0, block[:, : self._stages], -1)

    def depth(self, blocks: Iterable[Block], level: float | None) -> int | None:
        """Let each frame tell."""
        return None

    def level_for(self, spool: CodeCache, tables: Tables, bits: float) -> float:
        """Find the level by halving intervals."""
        return level_for(spool, self.sent, tables, bits)


@final
class OwnDial(Dial):
    """Sends what an allocator from elsewhere decides, at levels that are known beforehand.

    Where it gives all frames of a recording one depth, no frame tells it.

    Args:
        allocator: Decides.
        stages: Number of stages, N_q.
        levels: The levels.
    """

    def __init__(self, allocator: RateAllocator, stages: int, levels: Sequence[float | None]) -> None:
        self._allocator, self._stages, self._levels = allocator, stages, tuple(levels)

    def rows(self, z: Tensor, features: Tensor) -> Tensor:
        """Give the depth at each level."""
        masks = (self._allocator(z, self._stages, features=features, level=level).mask for level in self._levels)
        depths = [depth_of(np.where(mask.cpu().numpy() > 0, 0, -1)) for mask in masks]
        return torch.from_numpy(np.stack(depths, 1).astype(np.int32)).to(z.device)

    def sent(self, block: Block, level: float | None) -> Codes:
        """Send the depth of a level."""
        return _leading(block[:, : self._stages], self._depths(block, level)[:, None])

    def depth(self, blocks: Iterable[Block], level: float | None) -> int | None:
        """Look whether all depths are one."""
        found = {int(depth) for block in blocks for depth in np.unique(self._depths(block, level))}
        return found.pop() if len(found) == 1 else None

    def level_for(self, spool: CodeCache, tables: Tables, bits: float) -> float:
        """Refuse."""
        raise ValueError(f"{type(self._allocator).__name__} cannot be searched for a rate: give a level")

    def _depths(self, block: Block, level: float | None) -> Block:
        if level not in self._levels:
            raise ValueError(f"level={level} was not asked for when the recording was analysed: {self._levels} were")
        return block[:, self._stages + self._levels.index(level)]


def dial_of(allocator: RateAllocator, stages: int, levels: Sequence[float | None] = ()) -> Dial:
    """Give the dial of an allocator; ``levels`` are needed for those from elsewhere.

    Example:
        >>> block = np.arange(6, dtype=np.int32).reshape(1, 3, 2)
        >>> dial_of(AllCodebooks(), stages=3).sent(block, level=2).tolist()
        [[[0, 1], [2, 3], [-1, -1]]]
    """
    if isinstance(allocator, AllCodebooks | CodebookDropout):
        return ConstantDial(stages)
    if isinstance(allocator, ImportanceMask):
        return ImportanceDial(allocator, stages)
    return OwnDial(allocator, stages, levels)


def _leading(codes: Codes, depth: int | NDArray[np.int32]) -> Codes:
    return np.where(np.arange(codes.shape[1])[:, None] < depth, codes, -1)
