"""The discriminators that the Descript Audio Codec (DAC) is trained against."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from qcodec.codecs.dac.package import BANDS, Discriminator, published_weight_norm


@final
class DacDiscriminator(nn.Module):
    """Multi-period, multi-scale and multi-band discriminators of ``dac`` (arXiv 2306.06546, section 3.4).

    The defaults are those of all published models; they have 43 million weights. A weight file of the published
    ``Discriminator`` fits ``model``.

    Args:
        sample_rate: Sampling rate in Hz.
        periods: Periods in samples, one multi-period discriminator each.
        fft_sizes: Window lengths in samples, one multi-band spectrogram discriminator each.
        rates: Factors by which the multi-scale discriminators lower the sampling rate, one each.
        bands: Lower and upper end of each band as shares of half the sampling rate.

    Raises:
        ValueError: For no discriminator at all.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        periods: Sequence[int] = (2, 3, 5, 7, 11),
        fft_sizes: Sequence[int] = (2048, 1024, 512),
        rates: Sequence[int] = (),
        bands: Sequence[tuple[float, float]] = tuple(BANDS),
    ) -> None:
        super().__init__()
        if not (periods or fft_sizes or rates):
            raise ValueError("periods, fft_sizes and rates are all empty: name at least one discriminator")
        self.shortest = max([0, *periods, *(5 * size // 8 for size in fft_sizes)]) + 1  # samples that can be mirrored
        with published_weight_norm(), torch.no_grad():  # leaves nothing attached: it can be copied
            self.model = Discriminator(list(rates), list(periods), list(fft_sizes), sample_rate, list(bands))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Return the feature maps of each discriminator for audio ``(B, 1, L)``, its verdict last.

        Raises:
            ValueError: For audio shorter than its windows can take.
        """
        if x.shape[-1] < self.shortest:
            raise ValueError(
                f"the discriminators need {self.shortest} samples or more, not {x.shape[-1]}: give longer crops, or "
                "smaller fft_sizes"
            )
        maps: list[list[Tensor]] = self.model(x)
        return maps
