"""Rate allocators: which stages of a residual quantizer are sent for which frame."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, nn

from qcodec.quantizers.rebuild import Rebuildable
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.random_streams import own_part, place_in_batch


@dataclass(frozen=True)
class Allocation:
    """The stages that are sent.

    Attributes:
        mask: ``(B, N_q, T)`` floating, 1 where a stage is sent and 0 where not; a gradient may pass through it.
        stages: Number of leading stages that must be computed; the mask is 0 from there on.
        losses: Unweighted losses of the allocation by name, ``(B,)`` each.
        side_bits: Bits per frame that tell the decoder which stages were sent, broadcastable to ``(B, T)``.
    """

    mask: Tensor
    stages: int
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    side_bits: Tensor | float = 0.0


class RateAllocator(Rebuildable, ABC, nn.Module):
    """Decides how many of the stages of a residual quantizer are sent.

    A subclass writes ``forward``. It names its ``levels`` to be evaluated over its range of rates and searched for a
    rate, says ``per_frame = False`` where all frames of a recording get one depth, so that files spend no bits on
    telling it, and states its ``receptive_field``. One whose dial is continuous may override ``decisions``, ``depth``
    and ``search``, which let a recording be encoded once for all levels.

    Attributes:
        per_frame: Whether the number of stages may differ from frame to frame.
    """

    per_frame: bool = True

    @abstractmethod
    def forward(
        self, z: Tensor, stages: int, *, features: Tensor | None = None, level: float | None = None
    ) -> Allocation:
        """Allocate stages to the frames of ``z``.

        Args:
            z: ``(B, D, T)`` embedding.
            stages: Number of stages there are, N_q.
            features: ``(B, C, T)`` encoder features, for allocators that decide by them.
            level: Rate dial in evaluation.

        Raises:
            ValueError: For a level that has no meaning here.
        """

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """Frames around a frame that its depth depends on; ``None``, the default, for the whole recording."""
        return None

    def levels(self, stages: int, count: int) -> tuple[float, ...]:
        """Return up to ``count`` levels from the lowest rate to the highest; none, the default, for one rate."""
        return ()

    def importance(self, features: Tensor) -> Tensor | None:
        """Return the importance ``(B, T)``, each in (0, 1), that it decides by; ``None`` where it decides otherwise."""
        return None

    def decisions(self, z: Tensor, stages: int, features: Tensor | None, levels: Sequence[float | None]) -> Tensor:
        """Compute in evaluation what ``depth`` decides by, for a recording that is encoded once for several levels.

        Returns:
            ``(B, R, T)`` float32; by default the depth at each of ``levels``.
        """
        masks = [self(z, stages, features=features, level=level).mask for level in levels]
        return torch.stack([_depth_of(mask, type(self).__name__) for mask in masks], 1)

    def depth(self, decisions: Tensor, stages: int, level: float | None, levels: Sequence[float | None]) -> Tensor:
        """Compute the number of leading stages ``(B, T)``, int64, that are sent at a level, from ``decisions``.

        Raises:
            ValueError: For a level that has no meaning here, or was not among ``levels``.
        """
        if level not in levels:
            raise ValueError(f"level={level} was not asked for when the recording was encoded: {list(levels)} were")
        return decisions[:, list(levels).index(level)].long()

    def search(self, bits_at: Callable[[float], float], budget: float, levels: Sequence[float]) -> float:
        """Find the highest of rising ``levels`` at which ``bits_at`` is no more than ``budget``.

        Raises:
            ValueError: Where the lowest level takes more, or there is none.
        """
        if not levels:
            raise ValueError(f"{type(self).__name__} names no levels to search for a rate: give a level")
        check_least(bits_at(levels[0]), budget)
        found = bisect_right(levels[1:], budget, key=bits_at)
        return levels[found]


def check_least(least: float, budget: float) -> None:
    """Raise ``ValueError`` where the lowest rate takes more bits than there are."""
    if least > budget:
        raise ValueError(f"the lowest rate takes {least / budget:.3g} times the rate asked for: ask for more")


class ConstantRate(RateAllocator, ABC):
    """Sends in evaluation the same stages of every frame: the first ``level`` where that is given, else all.

    A subclass writes ``forward``, what it does in training.
    """

    per_frame = False

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """No frame but the one itself."""
        return ReceptiveField()

    def levels(self, stages: int, count: int) -> tuple[float, ...]:
        """Return numbers of stages, evenly from 1 to ``stages``."""
        return tuple(sorted({float(depth) for depth in torch.linspace(1, stages, count).round().tolist()}))

    def decisions(self, z: Tensor, stages: int, features: Tensor | None, levels: Sequence[float | None]) -> Tensor:
        """Return ``(B, 0, T)``: the level says it all."""
        return z.new_empty((len(z), 0, z.shape[2]), dtype=torch.float32)

    def depth(self, decisions: Tensor, stages: int, level: float | None, levels: Sequence[float | None]) -> Tensor:
        """Return the level itself, for each frame."""
        depth = evaluation_depth(level, stages, training=False)
        return torch.full((len(decisions), decisions.shape[2]), depth, device=decisions.device)


@final
class AllCodebooks(ConstantRate):
    """Sends every stage; in evaluation the first ``level`` stages where that is given.

    Example:
        >>> AllCodebooks().eval()(torch.zeros(1, 8, 1), stages=4, level=3).mask.flatten().tolist()
        [1.0, 1.0, 1.0, 0.0]
    """

    def forward(
        self, z: Tensor, stages: int, *, features: Tensor | None = None, level: float | None = None
    ) -> Allocation:
        """Allocate the same stages to every frame."""
        depth = evaluation_depth(level, stages, self.training)
        return Allocation(_leading(z, torch.full((z.shape[0],), depth), stages), depth)


@final
class CodebookDropout(ConstantRate):
    """Sends a random number of leading stages for some clips in training (arXiv 2306.06546, section 3.3).

    In training each of the first ``floor(B * probability)`` clips of a batch of ``B`` gets its own depth, drawn
    uniformly from 1 to N_q; the others get every stage. The draw is made by torch's global generator on the CPU and in
    the same order as in ``dac``, so that equal seeds give equal depths. In evaluation every stage is sent, or the first
    ``level`` stages where that is given.

    Args:
        probability: Share of the clips of a batch, 0 to 1.

    Raises:
        ValueError: For a probability outside of 0 to 1.

    Example:
        >>> mask = CodebookDropout(0.5)(torch.zeros(4, 8, 1), stages=9).mask
        >>> mask[2:].sum(1).flatten().tolist()
        [9.0, 9.0]
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability={probability} is no share of a batch: give a number from 0 to 1")
        self.probability = float(probability)

    def forward(
        self, z: Tensor, stages: int, *, features: Tensor | None = None, level: float | None = None
    ) -> Allocation:
        """Allocate one depth to all frames of a clip."""
        depth = torch.full((z.shape[0],), evaluation_depth(level, stages, self.training))
        if not self.training:
            return Allocation(_leading(z, depth, stages), int(depth[0]) if len(depth) else stages)
        drawn = own_part(lambda clips: torch.randint(1, stages + 1, (clips,)), len(z))
        first, whole = place_in_batch(len(z))
        dropped = first + torch.arange(len(z)) < int(whole * self.probability)
        return Allocation(_leading(z, torch.where(dropped, drawn, depth), stages), stages)


def evaluation_depth(level: float | None, stages: int, training: bool) -> int:
    """Return the number of stages that a level asks for: all for ``None``, else ``level`` of them.

    Raises:
        ValueError: For a level in training, and for one that is no whole number from 1 to ``stages``.

    Example:
        >>> evaluation_depth(None, 9, training=False), evaluation_depth(4, 9, training=False)
        (9, 4)
    """
    if level is None:
        return stages
    if training:
        raise ValueError(f"level={level} has no meaning in training: leave `level` out or call `eval()` first")
    if level != int(level) or not 1 <= level <= stages:
        raise ValueError(f"level={level} is no number of stages: give a whole number from 1 to {stages}")
    return int(level)


def _leading(z: Tensor, depth: Tensor, stages: int) -> Tensor:
    mask = torch.arange(stages) < depth[:, None]
    return mask.to(z.device, z.dtype, non_blocking=True).unsqueeze(2).expand(-1, -1, z.shape[2])


def _depth_of(mask: Tensor, owner: str) -> Tensor:
    """Return the depth ``(B, T)`` of a mask ``(B, N_q, T)``; ``ValueError`` unless each frame sends leading stages."""
    sent = mask > 0
    depth = sent.sum(1)
    leading = torch.arange(mask.shape[1], device=mask.device)[:, None] < depth[:, None]
    if not torch.equal(sent, leading) or (depth < 1).any():
        raise ValueError(f"{owner} leaves out a frame's first stage, or one before its last: no file can tell that")
    return depth.float()
