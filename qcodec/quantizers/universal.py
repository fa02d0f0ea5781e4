"""Rounding with a dither that encoder and decoder share."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from qcodec.functional import mean_squared_error
from qcodec.quantizers.base import QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.level_quantizer import LevelQuantizer
from qcodec.quantizers.position import first_frame
from qcodec.random_streams import uniform_like

_MASK = 0xFFFFFFFF


@final
class UniversalQuantizer(LevelQuantizer):
    """Universal quantization: rounding with shared dither (Ziv, IEEE Trans. Inf. Theory 31(3), 1985; arXiv 2006.09952).

    In evaluation a dither ``u`` in ``[-1/2, 1/2)`` is taken off before rounding and put back after decoding: ``step *
    (round(z / step - u) + u)``, to the nearest of ``levels`` levels. It depends on the number of the channel and of the
    frame in the recording and on ``seed`` alone, and so encoder and decoder have it both, in windows too. The error is
    then uniform and does not depend on ``z``, as long as ``z`` lies within the levels. In training the decoder sees ``z
    + step * u`` with ``u`` drawn anew, which has the same distribution, and the gradient is that of the identity. Sends
    one code per feature and frame, ``D * log2(levels)`` bits; the loss ``commitment`` is ``mean (z - z_q)^2``.

    Args:
        levels: Number of levels, 2 or more.
        step: Distance between levels, positive.
        seed: Of the dither.

    Raises:
        ValueError: For fewer than two levels, a step that is not positive, or a seed below 0 or of more than 32 bits.

    Example:
        >>> quantizer = UniversalQuantizer(levels=64, step=0.5).eval()
        >>> z = torch.randn(1, 4, 1000)
        >>> round((quantizer(z).z_hat - z).square().mean().item() * 12 / 0.5**2, 1)
        1.0
    """

    def __init__(self, levels: int = 4, step: float = 1.0, seed: int = 0) -> None:
        super().__init__(levels, step)
        if not 0 <= seed <= _MASK:
            raise ValueError(f"seed={seed} is no seed of the dither: give 0 to {_MASK}")
        self.seed = seed

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the levels and the dither's seed."""
        return {**super().decoder_identity(), "seed": self.seed}

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` value by value."""
        check_embedding(z, "UniversalQuantizer", level)
        wide = z.detach().to(torch.promote_types(z.dtype, torch.float32))
        codes = self.codebook.nearest(wide - self._dither(wide))
        z_q = self.decode(codes).to(z.dtype)
        losses = {"commitment": mean_squared_error(z, z_q)}
        z_hat = z + (self.step * (uniform_like(wide, wide.shape) - 0.5)).to(z.dtype) if self.training else z_q
        return QuantizerOutput(z_hat, codes, self.frame_bits(z), losses, z_q)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the levels' values with the dither of their channels and frames, ``(B, D, T)`` in float32."""
        check_codes(codes, "UniversalQuantizer", self.levels)
        values = self.codebook.lookup(codes)
        return values + self._dither(values)

    def _dither(self, z: Tensor) -> Tensor:
        """Return ``step * u`` for the channels and frames of ``z`` ``(B, D, T)``: ``(D, T)`` in float32."""
        channels = torch.arange(z.shape[1], device=z.device).unsqueeze(1)
        frames = torch.arange(first_frame(), first_frame() + z.shape[2], device=z.device)
        return self.step * uniform_of(channels, frames, self.seed)


def uniform_of(channels: Tensor, frames: Tensor, seed: int) -> Tensor:
    """Compute numbers in ``[-1/2, 1/2)`` that look random, of integers that are below 2^32 and broadcast, in float32.

    The same on every device; by the integer hash ``lowbias32`` (Wellons, 2018).

    Example:
        >>> uniform_of(torch.tensor([[0], [1]]), torch.arange(3), seed=0).shape
        torch.Size([2, 3])
    """
    mixed = _mixed((frames + _mixed(channels + _mixed(torch.tensor(seed)))) & _MASK)
    return (mixed >> 8).float() / (1 << 24) - 0.5


def _mixed(x: Tensor) -> Tensor:
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _MASK
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)
