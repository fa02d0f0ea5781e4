"""Distances between audio signals in the frequency domain."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
MELS = (5, 10, 20, 40, 80, 160, 320)


@final
class MelLoss(nn.Module):
    """Multi-scale distance of log mel spectrograms, as DAC trains with (arXiv 2306.06546, section 3.3).

    For each window length ``w`` with hop ``w / 4``, magnitudes ``m`` of the short-time Fourier transform and mel
    filters ``M``: ``mean |log10 max(M m(estimate), floor) - log10 max(M m(target), floor)|``, summed over the scales.
    The defaults are those of all published models. Windows and filters are kept as buffers that no checkpoint holds.

    Args:
        sample_rate: Sampling rate in Hz; the filters reach to half of it.
        windows: Window lengths in samples, multiples of 4.
        mels: Number of mel filters of each window.
        floor: Magnitudes of the filters below this value count as this value.

    Raises:
        ValueError: For settings that do not fit each other.

    Example:
        >>> loss = MelLoss(16000)
        >>> loss(torch.zeros(1, 1, 2000), torch.zeros(1, 1, 2000)).item()
        0.0
    """

    def __init__(
        self,
        sample_rate: int,
        windows: Sequence[int] = WINDOWS,
        mels: Sequence[int] = MELS,
        floor: float = 1e-5,
    ) -> None:
        super().__init__()
        if len(windows) != len(mels) or not windows or any(window < 4 or window % 4 for window in windows):
            raise ValueError(
                f"windows={list(windows)} and mels={list(mels)} must be lists of one length, and windows multiples of 4"
            )
        if not floor > 0:
            raise ValueError(f"floor={floor} must be above 0, as its logarithm is taken")
        self.windows, self.floor = tuple(windows), floor
        for index, (window, n_mels) in enumerate(zip(windows, mels, strict=True)):
            self.register_buffer(f"window{index}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"filters{index}", mel_filters(sample_rate, window, n_mels), persistent=False)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Give the distance, a scalar; the gradient reaches the estimate alone.

        Args:
            estimate: ``(B, 1, L)`` with ``L`` above half the longest window.
            target: The same shape.

        Raises:
            ValueError: For other shapes.
        """
        self._check(estimate, target)
        with torch.autocast(estimate.device.type, enabled=False):
            x, y = estimate.float(), target.detach().float()
            scales = [F.l1_loss(self._log_mel(x, i), self._log_mel(y, i)) for i in range(len(self.windows))]
            return torch.stack(scales).sum()

    def _check(self, estimate: Tensor, target: Tensor) -> None:
        shortest = max(self.windows) // 2 + 1
        if estimate.shape != target.shape or estimate.dim() != 3 or estimate.shape[1] != 1:
            raise ValueError(
                f"MelLoss takes two signals of one shape (B, 1, L), not {tuple(estimate.shape)} "
                f"and {tuple(target.shape)}: give channels as clips of their own"
            )
        if estimate.shape[-1] < shortest:
            raise ValueError(
                f"the signals have {estimate.shape[-1]} samples, but a window of {max(self.windows)} needs "
                f"{shortest} or more: give longer signals or shorter windows"
            )

    def _log_mel(self, x: Tensor, index: int) -> Tensor:
        length, window = self.windows[index], self.get_buffer(f"window{index}")
        frames = F.pad(x, (length // 2, length // 2), mode="reflect").squeeze(1).unfold(-1, length, length // 4)
        magnitude = torch.fft.rfft(frames * window).abs()
        mel: Tensor = magnitude @ self.get_buffer(f"filters{index}")
        return mel.clamp(min=self.floor).log10()


def mel_filters(sample_rate: int, window: int, n_mels: int) -> Tensor:
    """Give triangular filters of equal area on Slaney's mel scale, ``(window / 2 + 1, n_mels)``.

    The scale is linear to 1000 Hz (15 mel) and logarithmic above, by a factor of 6.4 in 27 mel (M. Slaney, Auditory
    Toolbox, 1998). Filters reach from 0 Hz to half the sampling rate; where the window resolves fewer frequencies
    than there are filters, some filters are empty.
    """
    top = sample_rate / 2
    highest = 3 * top / 200 if top < 1000 else 15 + 27 * math.log(top / 1000) / math.log(6.4)
    mel = torch.linspace(0, highest, n_mels + 2, dtype=torch.float64)
    edges = torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))
    frequency = torch.linspace(0, top, window // 2 + 1, dtype=torch.float64)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)).float()
