"""A bound in front of a quantizer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, QuantizerWrapper, check_embedding
from qcodec.quantizers.frame import check_channels


@final
class BoundedQuantizer(QuantizerWrapper):
    """Bounds each channel smoothly before another quantizer: ``r tanh(z / r)``, near zero the identity.

    What the other quantizer sees then lies in ``(-r, r)``. It acts in training and in evaluation; decoding is the other
    quantizer's. Computed in float32 or wider.

    Args:
        quantizer: The other one.
        reach: ``r`` of each channel; one number for the same in all.

    Raises:
        ValueError: For a reach that is not positive, or an embedding of other channels.

    Example:
        >>> from qcodec import ScalarQuantizer
        >>> quantizer = BoundedQuantizer(ScalarQuantizer(levels=4), reach=2.0).eval()
        >>> quantizer(torch.tensor([[[100.0, -0.2]]])).latents
        tensor([[[ 2.0000, -0.1993]]])
    """

    bound: Tensor

    def __init__(self, quantizer: Quantizer, reach: float | Sequence[float]) -> None:
        super().__init__(quantizer)
        values = [reach] if isinstance(reach, int | float) else list(reach)
        if not min(values, default=0) > 0:
            raise ValueError(f"reach={reach} must be positive")
        self.channels = None if isinstance(reach, int | float) else len(values)
        self.register_buffer("bound", torch.tensor(values)[:, None], persistent=False)

    def deployed(self) -> Quantizer:
        """Return the bound around what acts of the other quantizer in evaluation."""
        inside = self.quantizer.deployed()
        return self if inside is self.quantizer else self._with(quantizer=inside.train(self.training))

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Bound ``z``, then quantize it; ``features`` and ``level`` are the other quantizer's."""
        check_embedding(z, "BoundedQuantizer")
        check_channels(z, "BoundedQuantizer", self.channels)
        with full_precision(z):
            bounded = (z.to(torch.promote_types(z.dtype, torch.float32)) / self.bound).tanh() * self.bound
        output: QuantizerOutput = self.quantizer(bounded, features=features, level=level)
        return replace(output, z_hat=output.z_hat.to(z.dtype), z_q=output.z_q.to(z.dtype), latents=bounded)
