"""Measures of a codec, summed up on the device and across ranks; nothing waits for them until they are read."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor
from torchmetrics import Metric

from qcodec.functional import mean_absolute
from qcodec.rate import kbps


@final
class NamedMeans(Metric):
    """Means of named scalars over a stretch of updates.

    Args:
        names: Every name that may come; those that never came are left out of the result.

    Example:
        >>> means = NamedMeans(["mel", "rate"])
        >>> for loss in (1.0, 4.0):
        ...     means.update({"mel": torch.tensor(loss)})
        >>> means.compute()
        {'mel': tensor(2.5000)}
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self._seen: set[str] = set()
        self.add_state("sums", torch.zeros(2, len(self.names)), dist_reduce_fx="sum")

    def update(self, values: Mapping[str, Tensor], weight: float = 1.0) -> None:
        """Add a scalar tensor for some of the names.

        Raises:
            ValueError: For a name that was not announced.
        """
        for name in sorted(set(values) - set(self.names)):
            raise ValueError(f"there is no mean named {name!r}: choose one of {', '.join(self.names)}")
        self._seen |= set(values)
        none, one = self.sums.new_zeros(()), self.sums.new_ones(())
        row = [values.get(name, none).detach().to(none) for name in self.names]
        counts = [one if name in values else none for name in self.names]
        self.sums += weight * torch.stack(row + counts).view(2, -1)

    def compute(self) -> dict[str, Tensor]:
        """Give the mean of each name that came."""
        means = (self.sums[0] / self.sums[1]).unbind()
        return {name: mean for name, mean in zip(self.names, means, strict=True) if name in self._seen}


@final
class MeanAbsoluteEmbedding(Metric):
    """Mean absolute value of embeddings ``(B, D, T)``, the MA-E of arXiv 2502.04770, section 4.

    Example:
        >>> ma_e = MeanAbsoluteEmbedding()
        >>> ma_e.update(torch.tensor([[[1.0, -3.0]]]))
        >>> ma_e.compute()
        tensor(2.)
    """

    full_state_update = False
    absolute: Tensor
    clips: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("absolute", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, z: Tensor) -> None:
        """Add the embeddings of a batch."""
        self.absolute += mean_absolute(z.detach().float()).sum()
        self.clips += len(z)

    def compute(self) -> Tensor:
        """Give the mean over all clips."""
        return self.absolute / self.clips


@final
class Bitrate(Metric):
    """Mean bitrate in kbps of bits per frame ``(B, T)``.

    Args:
        frame_rate: Frames per second.

    Example:
        >>> bitrate = Bitrate(frame_rate=50)
        >>> bitrate.update(torch.tensor([[100.0, 140.0]]))
        >>> bitrate.compute()
        tensor(6.)
    """

    full_state_update = False
    bits: Tensor
    frames: Tensor

    def __init__(self, frame_rate: float) -> None:
        super().__init__()
        self.frame_rate = float(frame_rate)
        self.add_state("bits", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("frames", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, bits: Tensor) -> None:
        """Add the bits of a batch."""
        self.bits += bits.detach().sum()
        self.frames += bits.numel()

    def compute(self) -> Tensor:
        """Give the mean over all frames."""
        return self.bits / self.frames * kbps(1.0, self.frame_rate)


@final
class CodebookUsage(Metric):
    """How evenly the codes of each stage are used, from the counts of codes ``(B, N_q, T)``; -1 is not counted.

    ``usage`` is the share of a stage's codes that came at least once, ``entropy_bits`` the entropy of their histogram
    in bits per code, ``log2(size)`` at most; both are means over the stages. A stretch of few codes gives low values
    whatever the codebook: ``n`` codes have at most ``log2(n)`` bits.

    Args:
        stages: Number of stages, N_q.
        size: Codes per stage.

    Example:
        >>> codebooks = CodebookUsage(stages=1, size=4)
        >>> codebooks.update(torch.tensor([[[0, 1, 0, 1, -1]]]))
        >>> codebooks.compute()
        {'usage': tensor(0.5000), 'entropy_bits': tensor(1.)}
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, stages: int, size: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(stages, size, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, codes: Tensor) -> None:
        """Add the codes of a batch."""
        flat = codes.transpose(0, 1).flatten(1)
        self.counts.scatter_add_(1, flat.clamp_min(0), (flat >= 0).long())

    def compute(self) -> dict[str, Tensor]:
        """Give both measures."""
        share = self.counts / self.counts.sum(1, keepdim=True).clamp_min(1)
        entropy = torch.special.entr(share).sum(1) / torch.log(torch.tensor(2.0))
        return {"usage": (self.counts > 0).float().mean(), "entropy_bits": entropy.mean()}
