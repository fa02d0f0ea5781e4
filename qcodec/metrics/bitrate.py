"""Bitrate."""

from typing import final

from torch import Tensor
from torchmetrics import MeanMetric

from qcodec.codecs.base import AudioOutput
from qcodec.metrics.base import CodecMetric
from qcodec.rate import kbps
from qcodec.runs.schema import Metric


@final
class Bitrate(CodecMetric):
    """Mean bitrate in kbit/s of the bits per frame ``(B, T)``, side information included.

    Args:
        frame_rate: Frames per second.
    """

    descriptions = (Metric("kbps", "Bitrate", "kbit/s", unit="kbit/s", better="lower"),)

    def __init__(self, frame_rate: float) -> None:
        super().__init__()
        self.frame_rate = float(frame_rate)
        self.bits = MeanMetric(nan_strategy="disable")

    def update(self, output: AudioOutput, audio: Tensor) -> None:
        """Add the bits of a batch."""
        self.bits.update(output.quantized.bits)

    def compute(self) -> Tensor:
        """Return the mean over all frames."""
        return self.bits.compute() * kbps(1.0, self.frame_rate)
