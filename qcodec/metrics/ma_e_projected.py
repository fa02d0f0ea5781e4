"""Mean absolute embedding in the codebooks' space."""

from typing import final

from torch import Tensor
from torchmetrics import MeanMetric

from qcodec.codecs.base import AudioOutput
from qcodec.functional import mean_absolute
from qcodec.metrics.base import CodecMetric
from qcodec.runs.schema import Metric


@final
class MeanAbsoluteLatents(CodecMetric):
    """Mean absolute value of the latents ``(B, C, T)``, the space in which codes are looked up (arXiv 2502.04770).

    Left out where the quantizer looks codes up in the embedding itself and so has no ``latents``.
    """

    descriptions = (Metric("ma_e_projected", "Mean absolute embedding in the codebooks' space", "MA-E"),)

    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanMetric(nan_strategy="disable")
        self._has_latents = False

    def update(self, output: AudioOutput, audio: Tensor) -> None:
        """Add the latents of a batch, if there are any."""
        if output.quantized.latents is not None:
            self._has_latents = True
            self.mean.update(mean_absolute(output.quantized.latents.detach().float()))

    def compute(self) -> dict[str, Tensor]:
        """Return the mean over all clips."""
        return {"ma_e_projected": self.mean.compute()} if self._has_latents else {}
