"""No quantization: the reference that every quantizer is held against."""

from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding


@final
class Identity(Quantizer):
    """Passes the embedding on as float32 numbers, whose 32-bit patterns are its codes.

    Example:
        >>> z = torch.randn(1, 3, 5)
        >>> output = Identity().eval()(z)
        >>> bool((Identity().decode(output.codes) == z).all()), output.bits[0, 0].item()
        (True, 96.0)
    """

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the number of bit patterns of each channel."""
        return (1 << 32,) * channels

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Pass ``z`` on; in evaluation as float32 carries it."""
        check_embedding(z, "Identity", level)
        single = z.detach().float()
        codes = single.contiguous().view(torch.uint32).long()
        bits = z.new_full((z.shape[0], z.shape[2]), 32.0 * z.shape[1], dtype=torch.float32)
        hard = single.to(z.dtype)
        return QuantizerOutput(z if self.training else hard, codes, bits, {}, hard)

    def decode(self, codes: Tensor) -> Tensor:
        """Give back the float32 numbers ``(B, D, T)`` of their bit patterns."""
        check_codes(codes, "Identity", 1 << 32)
        return codes.to(torch.int32).view(torch.float32)
