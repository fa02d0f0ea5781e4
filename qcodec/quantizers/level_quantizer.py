"""What the quantizers share that send one of a few equally spaced levels for each value."""

from abc import ABC
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qcodec.quantizers.base import Quantizer
from qcodec.quantizers.codebooks import Levels
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.rate import code_bits


class LevelQuantizer(Quantizer, ABC):
    """A quantizer with levels ``(k - (levels - 1) / 2) * step``; sends one code per feature and frame (``N = D``).

    A subclass writes ``forward`` and ``decode``.

    Attributes:
        levels: Number of levels.
        step: Distance between neighbours.
    """

    def __init__(self, levels: int, step: float) -> None:
        super().__init__()
        self.codebook = Levels(levels, step)
        self.levels, self.step = levels, step

    @property
    def receptive_field(self) -> ReceptiveField:
        """No frame but the one itself."""
        return ReceptiveField()

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the number of levels for each channel."""
        return (self.levels,) * channels

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the levels."""
        return {"levels": self.levels, "step": self.step}

    def frame_bits(self, z: Tensor) -> Tensor:
        """Return ``D log2(levels)`` bits for each frame of ``z`` ``(B, D, T)``, as ``(B, T)`` in float32."""
        return z.new_full((z.shape[0], z.shape[2]), z.shape[1] * code_bits(self.levels), dtype=torch.float32)
