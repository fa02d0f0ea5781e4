"""Finite scalar quantization with one code a frame, and in stages."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.estimators import STE, GradientEstimator
from qcodec.quantizers.frame import FrameOutput, FrameQuantizer
from qcodec.quantizers.frame_layers import Bounded
from qcodec.quantizers.layered import LayeredQuantizer
from qcodec.quantizers.residual import ResidualPath, ResidualVQ

_MOST_CODES = 1 << 24


@final
class FSQStage(FrameQuantizer):
    """Symmetric finite scalar quantization with one code a frame (arXiv 2309.15505; levels of arXiv 2411.19842).

    With ``s = L^-stage`` a channel of ``L`` levels is clamped to ``b = min(max(z / s, -1), 1)`` and takes the nearest
    of the levels ``2 k / (L - 1) - 1``, ``k = 0 ... L - 1``; half-way it goes to the upper one. The estimator acts from
    ``b`` to the level, and the decoder sees ``s`` times it. The frame's code is ``sum_i k_i prod_{j < i} L_j``: the
    first channel counts fastest. There are no losses.

    Args:
        levels: Levels of each channel, 2 or more; their product is the number of codes, 2^24 at most.
        stage: Which stage it is, from 0: the finer the levels.
        estimator: How gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For fewer than two levels, too many codes or a negative stage.

    Example:
        >>> stage = FSQStage(levels=(3, 5)).eval()
        >>> output = stage(torch.tensor([[[0.9, 0.0], [-0.6, 7.0]]]))
        >>> output.codes.tolist(), output.z_hat[0, :, 0].tolist(), stage.size
        ([[[5, 13]]], [1.0, -0.5], 15)
    """

    scale: Tensor
    steps: Tensor
    powers: Tensor

    def __init__(self, levels: Sequence[int], stage: int = 0, estimator: GradientEstimator | None = None) -> None:
        super().__init__()
        self.levels, self.stage = tuple(levels), stage
        if min(self.levels, default=0) < 2 or math.prod(self.levels) > _MOST_CODES:
            raise ValueError(f"levels={self.levels} must be 2 or more for each channel, of at most 2^24 codes in all")
        if stage < 0:
            raise ValueError(f"stage={stage} must be 0 for the first one, or more")
        self.dim, self.size = len(self.levels), math.prod(self.levels)
        self.estimator = STE() if estimator is None else estimator
        check_is(self.estimator, GradientEstimator, "estimator")
        sizes = torch.tensor(self.levels)[:, None]
        self.register_buffer("scale", sizes.float() ** -stage, persistent=False)
        self.register_buffer("steps", sizes - 1, persistent=False)
        self.register_buffer(
            "powers", sizes.roll(1, 0).index_fill(0, torch.tensor([0]), 1).cumprod(0), persistent=False
        )

    @property
    def exact(self) -> bool:
        """As the estimator."""
        return self.estimator.exact

    def quantize(self, z: Tensor) -> FrameOutput:
        """Round each channel to its nearest level."""
        bounded = (z / self.scale).clamp(-1, 1)
        index = ((bounded.detach() + 1) * (self.steps / 2) + 0.5).floor().nan_to_num(0.0).long()
        values = self._values(index)
        codes = (index * self.powers).sum(1)
        return FrameOutput(codes, self.estimator(bounded, values) * self.scale, values * self.scale, z, {})

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Return the levels' values, ``(B, D, T)``."""
        return self._values(codes.unsqueeze(1) // self.powers % (self.steps + 1)) * self.scale

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the levels and the stage."""
        return {"levels": self.levels, "stage": self.stage}

    def _values(self, index: Tensor) -> Tensor:
        return index * (2 / self.steps) - 1


def residual_fsq(
    levels: Sequence[int],
    n_stages: int,
    allocator: RateAllocator | None = None,
    estimator: GradientEstimator | None = None,
    residual: ResidualPath = "attached",
) -> LayeredQuantizer:
    """Build a residual quantizer of finite scalar stages, for an embedding of as many channels as there are levels.

    The embedding is bounded to ``L / (L - 1)`` (``Bounded``), where the cells of a first stage's levels end.
    What a stage leaves over is then at most ``1 / (L - 1)``, again ``L / (L - 1)`` in the levels of the next, which
    are ``L`` times as fine: ``n`` stages together are uniform with ``L^n`` levels.

    Args:
        levels: Levels of each channel, as in ``FSQStage``.
        n_stages: Number of stages, with one code a frame each.
        allocator: Which stages are sent; all if left out.
        estimator: How gradients pass within each stage; a straight-through estimator if left out.
        residual: See ``ResidualVQ``.

    Raises:
        ValueError: Without stages, and as ``FSQStage`` does.

    Example:
        >>> quantizer = residual_fsq(levels=(8, 5, 5), n_stages=3).eval()
        >>> output = quantizer(torch.randn(2, 3, 10), level=2)
        >>> output.codes.shape, quantizer.code_sizes(3), bool((output.codes[:, 2] == -1).all())
        (torch.Size([2, 3, 10]), (200, 200, 200), True)
    """
    shared = STE() if estimator is None else estimator
    stages = [FSQStage(levels, stage, shared) for stage in range(n_stages)]
    bound = Bounded([size / (size - 1) for size in levels])
    return LayeredQuantizer(ResidualVQ(stages, allocator, residual), before=[bound])
