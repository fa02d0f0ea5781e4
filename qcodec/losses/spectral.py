"""Distances between audio signals in the frequency domain."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from qcodec.kernels.autograd import apply_function

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
            filters = mel_filters(sample_rate, window, n_mels)
            adjoint = filters.T.clone()
            adjoint[:, 1:-1] /= 2
            self.register_buffer(f"window{index}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"filters{index}", filters, persistent=False)
            self.register_buffer(f"adjoint{index}", adjoint, persistent=False)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Compute the distance, a scalar; the gradient, which has no gradient itself, reaches the estimate alone.

        Args:
            estimate: ``(B, 1, L)`` with ``L`` above half the longest window.
            target: The same shape.

        Raises:
            ValueError: For other shapes.
        """
        self._check(estimate, target)
        with torch.autocast(estimate.device.type, enabled=False):
            x, y = estimate.float(), target.detach().float()
            scales = [self._scale(index) for index in range(len(self.windows))]
            return torch.stack([apply_function(_LogMelDistance, x, y, scale) for scale in scales]).sum()

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

    def _scale(self, index: int) -> "_Scale":
        window, filters, adjoint = (self.get_buffer(f"{name}{index}") for name in ("window", "filters", "adjoint"))
        return _Scale(window, filters, adjoint, self.floor)


@dataclass(frozen=True)
class _Scale:
    """One short-time Fourier transform with its filters.

    Attributes:
        window: ``(w,)``.
        filters: ``(w / 2 + 1, mels)``.
        adjoint: Transposed filters, halved where a real transform counts a frequency twice, ``(mels, w / 2 + 1)``.
        floor: Least value of a filter's magnitude.
    """

    window: Tensor
    filters: Tensor
    adjoint: Tensor
    floor: float

    def spectrum(self, x: Tensor) -> Tensor:
        """Transform signals ``(B, 1, L)``, mirrored at their ends, to ``(B, T, w / 2 + 1)``."""
        length = len(self.window)
        frames = F.pad(x, (length // 2, length // 2), mode="reflect").squeeze(1).unfold(-1, length, length // 4)
        spectrum: Tensor = torch.fft.rfft(frames * self.window)
        return spectrum

    def spectrum_adjoint(self, grad: Tensor, length: int) -> Tensor:
        """Compute the gradient of ``length`` samples from that of their spectrum, weighted as ``adjoint`` is."""
        width, hop = len(self.window), len(self.window) // 4
        frames = torch.fft.irfft(grad, n=width, norm="forward").mul_(self.window)
        clips, count, _ = frames.shape
        padded = frames.new_zeros(clips, length + width)
        hops = padded[:, : (count + 3) * hop].view(clips, count + 3, hop)
        for part in range(4):
            hops[:, part : part + count] += frames[..., part * hop : (part + 1) * hop]
        half = width // 2
        out: Tensor = padded[:, half:-half]
        out[:, 1 : half + 1] += padded[:, :half].flip(-1)
        out[:, length - 1 - half : length - 1] += padded[:, -half:].flip(-1)
        return out[:, None]


class _LogMelDistance(torch.autograd.Function):
    """Mean absolute difference of log mel spectrograms, whose gradient is computed with the value.

    Only the gradient, of the signal's size, is kept for the backward pass: for 32 crops of 0.38 s at 44.1 kHz 16 MB
    instead of the 152 MB of intermediate spectra that autograd keeps, and 0.73 s instead of 1.13 s for both passes; for
    two crops at 16 kHz 0.4 MB instead of 3.5 MB, and 18 ms instead of 25 ms (``benchmarks/audio.py``, one thread of a
    Xeon).
    """

    @staticmethod
    def forward(ctx: Any, estimate: Tensor, target: Tensor, scale: _Scale) -> Tensor:
        clips = len(estimate)
        spectrum = scale.spectrum(torch.cat([estimate, target]))
        magnitude = spectrum.abs()
        mel = magnitude @ scale.filters
        log_mel = mel.clamp(min=scale.floor).log10_()
        difference = log_mel[:clips].sub_(log_mel[clips:])
        if ctx.needs_input_grad[0]:
            slope = difference.sign().div_(mel[:clips] * (math.log(10) * difference.numel()))
            slope = slope.masked_fill_(mel[:clips] < scale.floor, 0) @ scale.adjoint
            slope = slope.div_(magnitude[:clips]).masked_fill_(magnitude[:clips] == 0, 0)
            ctx.save_for_backward(scale.spectrum_adjoint(spectrum[:clips].mul_(slope), estimate.shape[-1]))
        return difference.abs_().mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * grad, None, None


def mel_filters(sample_rate: int, window: int, n_mels: int) -> Tensor:
    """Return triangular filters of equal area on Slaney's mel scale, ``(window / 2 + 1, n_mels)``.

    The scale is linear to 1000 Hz and logarithmic above (M. Slaney, Auditory Toolbox, 1998). Filters reach from 0 Hz to
    half the sampling rate; where the window resolves fewer frequencies than there are filters, some filters are empty.
    """
    from torchaudio.functional import melscale_fbanks

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filterbank has all zero values", UserWarning)
        filters: Tensor = melscale_fbanks(
            window // 2 + 1, 0.0, sample_rate / 2, n_mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
    return filters
