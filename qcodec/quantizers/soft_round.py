"""Rounding that is soft at first and hardens over training."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, QuantizerWrapper, check_embedding
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.level_quantizer import LevelQuantizer
from qcodec.quantizers.scheduled import Scheduled
from qcodec.schedules import Schedule

_LEAST, _MOST = 1e-3, 100.0  # below and above these, soft rounding is the identity and rounding to float32's precision


@final
class SoftRound(Scheduled, QuantizerWrapper):
    """Soft rounding before and after a quantizer with levels (Agustsson and Theis, arXiv 2006.09952).

    Values ``x``, counted in steps from a level, are brought nearer to their level by ``s(x) = m + tanh(alpha r) / (2
    tanh(alpha / 2))`` with ``m = floor(x) + 1/2`` and ``r = x - m``, and quantized; what the quantizer makes
    of them, in training noisy values, is brought back by ``s^-1(y - 1/2) + 1/2``, the mean of what could have led to
    ``y``. With ``alpha`` rising over training, values gather at their levels. In evaluation both act at
    the ``alpha`` reached; levels themselves do not move. Computed in float32 or wider.

    Args:
        quantizer: ``UniversalQuantizer`` as in the paper, or ``ScalarQuantizer`` with ``AdditiveUniformNoise``, which
            rounds without a dither in evaluation; that one's levels if left out.
        alpha: Hardness, positive, or a schedule of it that counts calls in training; below 1e-3 and above 100 it counts
            as these.

    Raises:
        ValueError: For a hardness that is not positive.

    Example:
        >>> from qcodec import UniversalQuantizer
        >>> soft = SoftRound(UniversalQuantizer(levels=64), alpha=5.0).eval()
        >>> z = torch.randn(1, 4, 1000)
        >>> bool(torch.equal(soft.decode(soft(z).codes), soft(z).z_hat))
        True
    """

    quantizer: LevelQuantizer

    def __init__(self, quantizer: LevelQuantizer, alpha: float | Schedule = 1.0) -> None:
        check_is(quantizer, LevelQuantizer, "quantizer")
        super().__init__(quantizer)
        self.take_settings({"alpha": alpha})

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: as the quantizer does, where the hardness follows no schedule."""
        return self.quantizer.entries_independent and not self.scheduled

    @property
    def exact(self) -> bool:
        """Never: what the decoder sees in training has passed through the inverse of a soft function."""
        return False

    def deployed(self) -> Quantizer:
        """Return itself: it acts in evaluation."""
        return self

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the quantizer, and the hardness."""
        return {**self.quantizer.decoder_identity(), "alpha": self._alpha}

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` value by value."""
        check_embedding(z, "SoftRound", level)
        with full_precision(z):
            wide = z.to(torch.promote_types(z.dtype, torch.float32))
            soft = self._off_grid(soft_round(self._on_grid(wide), self._alpha))
            output: QuantizerOutput = self.quantizer(soft)
            z_q = self.decode(output.codes).to(z.dtype)
            z_hat = self._restored(output.z_hat).to(z.dtype) if self.training else z_q
        if self.training:
            self.count_update()
        return replace(output, z_hat=z_hat, z_q=z_q, latents=soft)

    def decode(self, codes: Tensor) -> Tensor:
        """Return what the quantizer decodes, brought back: ``(B, D, T)`` in float32."""
        return self._restored(self.quantizer.decode(codes))

    @property
    def _alpha(self) -> float:
        return min(max(self.setting("alpha"), _LEAST), _MOST)

    def _restored(self, y: Tensor) -> Tensor:
        return self._off_grid(soft_round_mean(self._on_grid(y), self._alpha))

    def _on_grid(self, z: Tensor) -> Tensor:
        return z / self.quantizer.step + (self.quantizer.levels - 1) / 2

    def _off_grid(self, x: Tensor) -> Tensor:
        return (x - (self.quantizer.levels - 1) / 2) * self.quantizer.step


def soft_round(x: Tensor, alpha: float) -> Tensor:
    """Compute ``m + tanh(alpha r) / (2 tanh(alpha / 2))``, ``m = floor(x) + 1/2``, ``r = x - m``.

    Example:
        >>> soft_round(torch.tensor([0.0, 0.4, 0.5, 0.6]), alpha=100.0)
        tensor([0.0000, 0.0000, 0.5000, 1.0000])
    """
    middle = x.detach().floor() + 0.5
    return middle + (alpha * (x - middle)).tanh() / (2 * _tanh_half(alpha))


def soft_round_inverse(y: Tensor, alpha: float) -> Tensor:
    """Compute the ``x`` whose ``soft_round`` is ``y``; its slope is bounded where ``alpha`` is large.

    Example:
        >>> x = torch.tensor([-1.3, 0.1, 2.7])
        >>> bool(torch.allclose(soft_round_inverse(soft_round(x, 4.0), 4.0), x, atol=1e-5))
        True
    """
    middle, bound = y.detach().floor() + 0.5, 1 - torch.finfo(y.dtype).eps
    return middle + ((y - middle) * (2 * _tanh_half(alpha))).clamp(-bound, bound).atanh() / alpha


def soft_round_mean(y: Tensor, alpha: float) -> Tensor:
    """Compute ``s^-1(y - 1/2) + 1/2``, the mean of ``x`` where ``s(x)`` plus uniform noise is ``y``."""
    return soft_round_inverse(y - 0.5, alpha) + 0.5


def _tanh_half(alpha: float) -> float:
    return float(torch.tensor(alpha / 2, dtype=torch.float64).tanh())
