"""Mean absolute embedding (MA-E)."""

from typing import final

from torch import Tensor
from torchmetrics import MeanMetric

from qcodec.codecs.base import AudioOutput
from qcodec.functional import mean_absolute
from qcodec.metrics.base import CodecMetric
from qcodec.runs.schema import Metric


@final
class MeanAbsoluteEmbedding(CodecMetric):
    """Mean absolute value of the embedding ``(B, D, T)``, the MA-E of arXiv 2502.04770, section 4."""

    descriptions = (Metric("ma_e", "Mean absolute embedding", "MA-E"),)

    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanMetric(nan_strategy="disable")

    def update(self, output: AudioOutput, audio: Tensor) -> None:
        """Add the embeddings of a batch."""
        self.mean.update(mean_absolute(output.z.detach().float()))

    def compute(self) -> Tensor:
        """Return the mean over all clips."""
        return self.mean.compute()
