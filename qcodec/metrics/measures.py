"""What is logged of an audio codec over a stretch of batches."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torchmetrics import Metric

from qcodec.codecs.base import AudioCodec, AudioOutput
from qcodec.metrics.codec import Bitrate, CodebookUsage, MeanAbsoluteEmbedding, NamedMeans
from qcodec.quantizers.base import Quantizer


class Measures(nn.Module):
    """Sums up measures of batch after batch on the device, and gives their means over all of them and all ranks.

    ``ma_e``, ``ma_e_projected`` (of the space in which codes are looked up), ``kbps``, ``codebook_usage`` and
    ``codebook_entropy_bits``, where the quantizer has such a space or codebooks, and the means of whatever scalars are
    given by name.

    Args:
        codec: The codec that is measured; not kept.
        names: Names of the scalars that may be given.
        persistent: Whether a checkpoint holds the sums, for a stretch that a resumed run continues.
    """

    def __init__(self, codec: AudioCodec, names: Sequence[str], persistent: bool = False) -> None:
        super().__init__()
        self.means = NamedMeans(names)
        self.ma_e, self.ma_e_projected = MeanAbsoluteEmbedding(), MeanAbsoluteEmbedding()
        self.kbps = Bitrate(codec.frame_rate)
        self.codebooks = _codebook_usage(codec.quantizer)
        self._projected = False
        for metric in self._metrics():
            metric.persistent(persistent)

    def _metrics(self) -> list[Metric]:
        return [child for child in self.children() if isinstance(child, Metric)]

    def update(self, output: AudioOutput, scalars: Mapping[str, Tensor]) -> None:
        """Add one batch: what the codec gave, and scalars that count as often as there are clips in it."""
        self.means.update(scalars, weight=len(output.z))
        self.ma_e.update(output.z)
        self.kbps.update(output.quantized.bits)
        if output.quantized.latents is not None:
            self._projected = True
            self.ma_e_projected.update(output.quantized.latents)
        if self.codebooks is not None:
            self.codebooks.update(output.quantized.codes)

    def compute(self) -> dict[str, Tensor]:
        """Give the means and begin anew."""
        values = {**self.means.compute(), "ma_e": self.ma_e.compute(), "kbps": self.kbps.compute()}
        if self._projected:
            values["ma_e_projected"] = self.ma_e_projected.compute()
        if self.codebooks is not None:
            values |= {f"codebook_{name}": value for name, value in self.codebooks.compute().items()}
        for metric in self._metrics():
            metric.reset()
        return values


def _codebook_usage(quantizer: Quantizer) -> CodebookUsage | None:
    size = getattr(quantizer, "codebook_size", None)
    return None if size is None else CodebookUsage(getattr(quantizer, "n_codebooks", 1), size)
