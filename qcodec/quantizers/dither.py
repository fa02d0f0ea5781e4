"""Noise before a quantizer that fades out in training."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.base import Quantizer, QuantizerOutput, QuantizerWrapper, check_embedding
from qcodec.random_streams import ends_update, normal_like


@final
class AnnealedDither(QuantizerWrapper):
    """Noise before another quantizer that fades out (Gray and Stockham, IEEE Trans. Inf. Theory 39(3), 1993).

    In training, the quantizer sees ``z + n`` with ``n ~ N(0, s_u^2)`` and ``s_u = std * max(0, 1 - u / updates)`` in
    update ``u``: non-subtractive dither. An embedding that sits on its levels does not change its codes when it moves a
    little, so that nothing tells the encoder of a direction that it does not send; with dither a small change of the
    embedding changes some codes. In evaluation, and in training once the noise has faded, it is the other quantizer.

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
        super().__init__(quantizer)
        if not 0 <= std < math.inf:
            raise ValueError(f"std={std} is no standard deviation: give 0 or a positive number")
        if updates < 1:
            raise ValueError(f"updates={updates} leaves no time for the noise to fade: give 1 or more")
        self.std, self.updates = std, updates
        self.done: Tensor
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z``, in training with noise."""
        if self.training:
            check_embedding(z, "AnnealedDither")
            left = (1 - self.done / self.updates).clamp_min(0)
            z = z + normal_like(z) * (self.std * left).to(z.dtype)
            self.done += ends_update()
        output: QuantizerOutput = self.quantizer(z, features=features, level=level)
        return output
