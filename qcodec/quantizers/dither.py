"""Noise before a quantizer that fades out in training."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_embedding
from qcodec.random_streams import normal_like


@final
class AnnealedDither(Quantizer):
    """Adds Gaussian noise to the embedding before another quantizer, in training only, and less with every update.

    The quantizer sees ``z + n`` with ``n ~ N(0, s_u^2)`` and ``s_u = std * max(0, 1 - u / updates)`` in update ``u``:
    non-subtractive dither (Gray and Stockham, IEEE Trans. Inf. Theory 39(3), 1993). An embedding that sits on its
    levels does not change its codes when it moves a little, so that nothing tells the encoder of a direction that it
    does not send; with dither a small change of the embedding changes some codes. In evaluation, and in training once
    the noise has faded, it is the other quantizer.

    Args:
        quantizer: The quantizer.
        std: Standard deviation of the noise in the first update, in units of the embedding.
        updates: Number of updates until the noise has faded. They are counted by calls in training and kept in
            checkpoints.

    Raises:
        ValueError: For a negative deviation or no updates.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> dithered = AnnealedDither(ScalarQuantizer(), std=0.3, updates=1)
        >>> z = torch.full((1, 1, 10000), 0.9)
        >>> [round((dithered(z).z_q == 1.5).float().mean().item(), 1) for _ in range(2)]
        [0.4, 0.0]
    """

    def __init__(self, quantizer: Quantizer, std: float, updates: int) -> None:
        super().__init__()
        if not 0 <= std < math.inf:
            raise ValueError(f"std={std} is no standard deviation: give 0 or a positive number")
        if updates < 1:
            raise ValueError(f"updates={updates} leaves no time for the noise to fade: give 1 or more")
        self.quantizer, self.std, self.updates = quantizer, std, updates
        self.done: Tensor
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def code_sizes(self, channels: int) -> tuple[int, ...] | None:
        """Return what the quantizer says."""
        return self.quantizer.code_sizes(channels)

    @property
    def allocator(self) -> RateAllocator | None:
        """What allocates the bits of the quantizer."""
        return self.quantizer.allocator

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: as the quantizer treats them."""
        return self.quantizer.entries_independent

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z``, in training with noise."""
        if self.training:
            check_embedding(z, "AnnealedDither")
            left = (1 - self.done / self.updates).clamp_min(0)
            z = z + normal_like(z) * (self.std * left).to(z.dtype)
            self.done += 1
        output: QuantizerOutput = self.quantizer(z, features=features, level=level)
        return output

    def decode(self, codes: Tensor) -> Tensor:
        """Give what the other quantizer decodes."""
        return self.quantizer.decode(codes)
