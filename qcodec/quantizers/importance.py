"""Variable bitrate: a small network that says how much each frame matters."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from qcodec.functional import leading_mask
from qcodec.layers.snake import Snake
from qcodec.layers.weight_norm import WeightNormConv, full_precision
from qcodec.quantizers.allocators import Allocation, RateAllocator, check_least
from qcodec.quantizers.levels import LevelSampler, UniformLevels
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.random_streams import own_part, place_in_batch
from qcodec.rate import side_bits

_LOWEST, _HIGHEST = 1e-4, 1e4  # levels that send one stage and, but for vanishing importance, every stage
_STEPS = 40


@final
class ImportanceMask(RateAllocator):
    """Sends as many stages as a frame's importance times the rate level asks for, as in VRVQ (arXiv 2410.06016).

    A network gives each frame an importance ``p`` in (0, 1) by the encoder's features. With ``s = p * level * N_q``
    the frame gets ``min(floor(s) + 1, N_q)`` stages, at least one; gradients reach ``p`` as if the mask of stage ``k``
    were ``soft_step(s - k)``. The network works in the precision of its own weights.

    In training each clip draws a level of its own; of a batch of ``B`` clips the last ``floor(B * full_share)`` get
    every stage, so that all codebooks learn. In evaluation ``level`` is the rate dial, continuous: with growing level
    each frame's depth grows from 1 to N_q. A constant rate is not this allocator's matter: the same stages serve it
    under another one, ``quantizer.with_allocator(AllCodebooks())``, for every number of stages.

    The loss ``rate`` is the mean importance of a clip, scaled such that its mean over the batch is the mean over the
    clips that importance rules: ``mean_t p * B / (B - floor(B * full_share))`` for them, zero for those of full depth.
    As the depth differs from frame to frame, ``side_bits(N_q)`` bits a frame are counted beside the codes; clips of
    full depth need none.

    Args:
        channels: Channels C of the features; those of the encoder's last block in ``DacCodec``.
        widths: Channels between the network's layers: each is a Snake and a convolution over 3 frames, from C to C,
            to each of these, and to 1. Scale them down for a small codec.
        sharpness: Of the soft mask, positive; ``alpha`` in the paper, which uses 2 and 4.
        training_levels: How levels are drawn in training; uniform in [0.125, 6] if left out.
        full_share: Share of the clips of a training batch that get every stage, from 0 to below 1.
        detach_input: Whether the network's gradient stops at the features instead of reaching the encoder.
        default_level: Level of evaluation where none is given; at 1 importance itself is the share of stages.

    Raises:
        ValueError: For a setting out of its range.

    Example:
        >>> allocator = ImportanceMask(channels=16, widths=(8, 4)).eval()
        >>> z, features = torch.randn(2, 32, 10), torch.randn(2, 16, 10)
        >>> mask = allocator(z, stages=4, features=features, level=0.5).mask
        >>> mask.shape, bool((mask.sum(1) >= 1).all())
        (torch.Size([2, 4, 10]), True)
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (512, 128, 32, 8),
        sharpness: float = 2.0,
        training_levels: LevelSampler | None = None,
        full_share: float = 0.25,
        detach_input: bool = False,
        default_level: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = [channels, channels, *widths, 1]
        if min(sizes) < 1:
            raise ValueError(f"channels={channels} and widths={tuple(widths)} must be 1 or more")
        if not 0 < sharpness < math.inf:
            raise ValueError(f"sharpness={sharpness} makes no step: give a positive number")
        if not 0 <= full_share < 1:
            raise ValueError(f"full_share={full_share} leaves no clip to importance: give a share from 0 to below 1")
        self.channels, self.widths, self.sharpness = channels, tuple(widths), float(sharpness)
        self.training_levels = UniformLevels() if training_levels is None else training_levels
        self.full_share, self.detach_input = float(full_share), detach_input
        self.default_level = _positive(default_level)
        layers = [(Snake(_ones(a)), WeightNormConv(a, b, kernel_size=3)) for a, b in pairwise(sizes)]
        self.subnet = nn.Sequential(*(module for pair in layers for module in pair))

    @property
    def receptive_field(self) -> ReceptiveField:
        """Frames that the network's convolutions reach."""
        convolutions = [layer for layer in self.subnet if isinstance(layer, WeightNormConv)]
        side = sum(layer.weight_v.shape[2] // 2 for layer in convolutions)
        return ReceptiveField(side, side)

    def levels(self, stages: int, count: int) -> tuple[float, ...]:
        """Return levels in equal ratios over the range that is usual in training, 0.125 to 6."""
        return tuple(0.125 * 48 ** (index / max(1, count - 1)) for index in range(count))

    def importance(self, features: Tensor) -> Tensor:
        """Return the importance ``(B, T)`` of the frames of features ``(B, C, T)``, each in (0, 1).

        Raises:
            ValueError: For features of another shape.
        """
        self._check(features)
        with full_precision(features):
            shown = features.detach() if self.detach_input else features
            logits: Tensor = self.subnet(shown.to(next(self.subnet.parameters()).dtype))
        return logits.squeeze(1).sigmoid()

    def decisions(self, z: Tensor, stages: int, features: Tensor | None, levels: Sequence[float | None]) -> Tensor:
        """Return the importance ``(B, 1, T)``."""
        return self.importance(self._checked(z, features)).float().unsqueeze(1)

    def depth(self, decisions: Tensor, stages: int, level: float | None, levels: Sequence[float | None]) -> Tensor:
        """Compute the depth at any level.

        Raises:
            ValueError: For a level that is not positive.
        """
        return self._mask_at(decisions[:, 0], stages, level).sum(1).long()

    def search(self, bits_at: Callable[[float], float], budget: float, levels: Sequence[float]) -> float:
        """Find the highest level of all, to within rounding, by halving intervals of its logarithm.

        Raises:
            ValueError: Where one stage a frame takes more.
        """
        low, high = _LOWEST, _HIGHEST
        if bits_at(high) <= budget:
            return high
        check_least(bits_at(low), budget)
        for _ in range(_STEPS):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if bits_at(middle) <= budget else (low, middle)
        return low

    def _mask_at(self, importance: Tensor, stages: int, level: float | None) -> Tensor:
        wanted = self.default_level if level is None else _positive(level)
        return leading_mask(importance * wanted * stages, stages, self.sharpness).detach()

    def forward(
        self, z: Tensor, stages: int, *, features: Tensor | None = None, level: float | None = None
    ) -> Allocation:
        """Allocate to each frame of ``z`` the stages that its features are worth."""
        features = self._checked(z, features)
        return self._train(features, stages, level) if self.training else self._evaluate(features, stages, level)

    def _checked(self, z: Tensor, features: Tensor | None) -> Tensor:
        if features is None:
            raise ValueError("ImportanceMask decides by the encoder's features: call the quantizer with `features`")
        self._check(features)
        if features.shape[::2] != z.shape[::2]:
            raise ValueError(
                f"features {tuple(features.shape)} and embedding {tuple(z.shape)} differ in clips or frames: "
                "give those of the same audio"
            )
        return features

    def _check(self, features: Tensor) -> None:
        if features.dim() != 3 or features.shape[1] != self.channels:
            raise ValueError(
                f"ImportanceMask was built for features of shape (B, {self.channels}, T), not {tuple(features.shape)}"
            )

    def _evaluate(self, features: Tensor, stages: int, level: float | None) -> Allocation:
        importance = self.importance(features)
        mask = self._mask_at(importance, stages, level)
        used = int(mask.sum(1).amax()) if mask.numel() else stages
        return Allocation(mask, used, {"rate": importance.mean(1)}, side_bits(stages))

    def _train(self, features: Tensor, stages: int, level: float | None) -> Allocation:
        if level is not None:
            raise ValueError(f"level={level} has no meaning in training: leave `level` out or call `eval()` first")
        first, whole = place_in_batch(len(features))
        of_all = self._ruled(whole)
        ruled = min(max(of_all - first, 0), len(features))  # here; the first clips of the whole batch are
        full = len(features) - ruled
        importance = self.importance(features[:ruled])

        def draw(clips: int) -> Tensor:
            return nn.functional.pad(self.training_levels.draw(of_all), (0, clips - of_all))

        levels = own_part(draw, len(features))[:ruled].to(importance, non_blocking=True)
        mask = leading_mask(importance * levels[:, None] * stages, stages, self.sharpness)
        clips = torch.arange(ruled + full, device=mask.device) < ruled
        ones = mask.new_ones(full, stages, features.shape[2])
        rate = torch.cat([importance.mean(1) * (whole / of_all), mask.new_zeros(full)])
        return Allocation(torch.cat([mask, ones]), stages, {"rate": rate}, clips[:, None] * side_bits(stages))

    def _ruled(self, batch: int) -> int:
        """Return how many clips of a batch importance rules; the others have full depth."""
        full = int(batch * self.full_share)
        if full == batch or (full == 0 and self.full_share > 0):
            least = math.ceil(1 / self.full_share) if self.full_share else 1
            raise ValueError(
                f"a batch of {batch} with full_share={self.full_share} has {batch - full} clips ruled by importance "
                f"and {full} of full depth: give {least} clips or more, so that there is one of each"
            )
        return batch - full


def _ones(channels: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(1, channels, 1))


def _positive(level: float) -> float:
    if not 0 < level < math.inf:
        raise ValueError(f"level={level} is no rate level: give a positive number")
    return float(level)
