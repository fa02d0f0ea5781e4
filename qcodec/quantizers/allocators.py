"""Rate allocators: which stages of a residual quantizer are sent for which frame."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, nn


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


class RateAllocator(ABC, nn.Module):
    """Decides how many of the stages of a residual quantizer are sent."""

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

    def levels(self, stages: int, count: int) -> tuple[float, ...]:
        """Return up to ``count`` levels from the lowest to the highest rate; none where there is one rate."""
        return ()

    def importance(self, features: Tensor) -> Tensor | None:
        """Return the importance ``(B, T)`` of frames, in (0, 1); None where it decides by none."""
        return None


@final
class AllCodebooks(RateAllocator):
    """Sends every stage; in evaluation the first ``level`` stages where that is given.

    Example:
        >>> AllCodebooks().eval()(torch.zeros(1, 8, 1), stages=4, level=3).mask.flatten().tolist()
        [1.0, 1.0, 1.0, 0.0]
    """

    def levels(self, stages: int, count: int) -> tuple[float, ...]:
        """Return numbers of stages."""
        return _depths(stages, count)

    def forward(
        self, z: Tensor, stages: int, *, features: Tensor | None = None, level: float | None = None
    ) -> Allocation:
        """Allocate the same stages to every frame."""
        depth = evaluation_depth(level, stages, self.training)
        return Allocation(_leading(z, torch.full((z.shape[0],), depth), stages), depth)


@final
class CodebookDropout(RateAllocator):
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

    def levels(self, stages: int, count: int) -> tuple[float, ...]:
        """Return numbers of stages."""
        return _depths(stages, count)

    def forward(
        self, z: Tensor, stages: int, *, features: Tensor | None = None, level: float | None = None
    ) -> Allocation:
        """Allocate one depth to all frames of a clip."""
        depth = torch.full((z.shape[0],), evaluation_depth(level, stages, self.training))
        if not self.training:
            return Allocation(_leading(z, depth, stages), int(depth[0]) if len(depth) else stages)
        drawn = torch.randint(1, stages + 1, (z.shape[0],))
        clips = int(z.shape[0] * self.probability)
        depth[:clips] = drawn[:clips]
        return Allocation(_leading(z, depth, stages), stages)


def evaluation_depth(level: float | None, stages: int, training: bool) -> int:
    """Give the number of stages that a level asks for: all for ``None``, else ``level`` of them.

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


def _depths(stages: int, count: int) -> tuple[float, ...]:
    return tuple(dict.fromkeys(round(depth) for depth in torch.linspace(1, stages, min(count, stages)).tolist()))


def _leading(z: Tensor, depth: Tensor, stages: int) -> Tensor:
    mask = torch.arange(stages) < depth[:, None]
    return mask.to(z.device, z.dtype, non_blocking=True).unsqueeze(2).expand(-1, -1, z.shape[2])
