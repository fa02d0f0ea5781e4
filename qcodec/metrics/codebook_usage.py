"""Usage and entropy of codes."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import Metric as State

from qcodec.codecs.base import AudioCodec, AudioOutput
from qcodec.metrics.base import CodecMetric
from qcodec.runs.schema import Metric

_MOST_SYMBOLS = 1 << 20  # counted, 8 MB; the codes of a quantizer that passes float32 on have 2^32 each


@final
class CodebookUsage(CodecMetric):
    """How evenly the symbols of each code of a frame are used, by the histograms of codes ``(B, N_q, T)``.

    ``codebook_usage`` is the share of a code's symbols that came at least once, ``codebook_entropy_bits`` the entropy
    of their histogram in bits, ``log2(size)`` at most; both are means over the N_q codes, and -1 is not counted. A
    stretch of few frames gives low values whatever the codebook: ``n`` codes have at most ``log2(n)`` bits.

    Args:
        sizes: Symbols of each code, N_q numbers.
    """

    descriptions = (
        Metric("codebook_usage", "Codebook usage", "share of codes in use", better="higher"),
        Metric("codebook_entropy_bits", "Entropy of the codes", "bits per code", unit="bit"),
    )

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.histograms = Histograms(sizes)

    def update(self, output: AudioOutput, audio: Tensor) -> None:
        """Add the codes of a batch."""
        self.histograms.update(output.quantized.codes)

    def compute(self) -> dict[str, Tensor]:
        """Return both."""
        counts = self.histograms.compute()
        sizes = torch.tensor(self.sizes, device=counts.device)
        return {
            "codebook_usage": ((counts > 0).sum(1) / sizes).mean(),
            "codebook_entropy_bits": entropy_bits(counts).mean(),
        }


@final
class Histograms(State):
    """Counts of the symbols of each of N_q codes.

    Args:
        sizes: Symbols of each code.
    """

    full_state_update = False
    counts: Tensor
    first: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        first = torch.tensor([0, *self.sizes[:-1]]).cumsum(0)
        self.register_buffer("first", first[:, None], persistent=False)  # of each code's symbols in the counts
        self.add_state("counts", torch.zeros(sum(self.sizes), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, codes: Tensor) -> None:
        """Add codes ``(B, N_q, T)``; -1 is not counted."""
        places = (codes.clamp_min(0) + self.first).flatten()
        self.counts.scatter_add_(0, places, (codes >= 0).long().flatten())

    def compute(self) -> Tensor:
        """Return the histogram of each code, ``(N_q, max(sizes))``, with zeros at its end."""
        return pad_sequence(list(torch.split(self.counts, self.sizes)), batch_first=True)


def entropy_bits(counts: Tensor) -> Tensor:
    """Compute the entropy ``-sum_k p_k log2 p_k`` in bits of histograms ``(N_q, K)``; zero of an empty one.

    Example:
        >>> entropy_bits(torch.tensor([[2, 2, 0, 0], [0, 0, 0, 0]]))
        tensor([1., 0.])
    """
    share = counts / counts.sum(1, keepdim=True).clamp_min(1)
    nats: Tensor = torch.special.entr(share).sum(1)
    return nats / math.log(2.0)


def counted_sizes(codec: AudioCodec) -> tuple[int, ...] | None:
    """Return the symbols of each code of a frame; ``None`` where they are no fixed number, or too many to count."""
    sizes = codec.quantizer.code_sizes(codec.channels)
    return sizes if sizes and sum(sizes) <= _MOST_SYMBOLS else None
