"""Loudness, peak and phase of the crops that are served."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 4


def normalize_loudness(audio: Tensor, measured: Tensor, target: Tensor) -> Tensor:
    """Scale ``audio`` ``(B, L)`` from its ``measured`` to the ``target`` loudness, ``(B,)`` each, in LUFS.

    Example:
        >>> normalize_loudness(torch.ones(1, 2), torch.tensor([-36.0]), torch.tensor([-16.0]))
        tensor([[10., 10.]])
    """
    gain: Tensor = 10 ** ((target - measured) / 20)
    return audio * gain[:, None]


def limit_peak(audio: Tensor, peak: float) -> Tensor:
    """Scale down those clips of ``audio`` ``(B, L)`` that exceed ``peak``, so that they just reach it.

    Example:
        >>> limit_peak(torch.tensor([[0.5, -2.0], [0.5, 0.0]]), 1.0)
        tensor([[ 0.2500, -1.0000],
                [ 0.5000,  0.0000]])
    """
    return audio / (audio.abs().amax(1, keepdim=True) / peak).clamp(min=1)


def shift_phase(audio: Tensor, shift: Tensor, sample_rate: int) -> Tensor:
    """Add ``shift`` ``(B,)``, in radians, to the phase of every frequency of ``audio`` ``(B, L)``.

    ``istft(stft(x) exp(i shift))`` with a Hann window of the power of two at or above 32 ms, a quarter of it apart. As
    both transforms are linear, it is ``cos(shift) x + sin(shift) istft(i stft(x))``; two frames of the latter share one
    complex Fourier transform. A few clips at a time stay in the processor's cache.
    """
    parts = zip(torch.split(audio, _AT_ONCE), torch.split(shift, _AT_ONCE), strict=True)
    return torch.cat([_shift_phase(*part, sample_rate) for part in parts])


def _shift_phase(audio: Tensor, shift: Tensor, sample_rate: int) -> Tensor:
    size = 2 ** math.ceil(math.log2(0.032 * sample_rate))
    quarter = _add_frames(_turn(_frames(audio, size)))[:, size // 2 : size // 2 + audio.shape[1]]
    return shift.cos()[:, None] * audio + shift.sin()[:, None] * quarter / _envelope(size, audio.shape[1])


def _frames(audio: Tensor, size: int) -> Tensor:
    """Cut ``(B, L)`` into windowed frames ``(B, F, size)``, reflected at both ends; F is even, the last may be zero."""
    hop, count = size // 4, audio.shape[1] // (size // 4) + 1
    padded = F.pad(audio[:, None], (size // 2, size // 2), "reflect")[:, 0]
    frames = audio.new_zeros(len(audio), count + count % 2, size)
    torch.mul(padded.unfold(1, size, hop), _hann(size), out=frames[:, :count])
    return frames


def _turn(frames: Tensor) -> Tensor:
    """Advance every frequency of windowed frames ``(B, F, size)`` by a quarter of a turn, and window them again."""
    size = frames.shape[-1]
    pairs = torch.complex(*frames.chunk(2, 1))
    turned: Tensor = torch.fft.ifft(torch.fft.fft(pairs).mul_(_quarter_turn(size)))
    return torch.cat([turned.real, turned.imag], 1).mul_(_hann(size))


@lru_cache(maxsize=8)
def _quarter_turn(size: int) -> Tensor:
    sign = torch.zeros(size)
    sign[1 : size // 2], sign[size // 2 + 1 :] = 1, -1
    return torch.complex(torch.zeros(size), sign)


def _add_frames(frames: Tensor) -> Tensor:
    """Add up frames ``(B, F, size)`` that lie a quarter of their size apart."""
    clips, count, size = frames.shape
    quarters = frames.view(clips, count, 4, size // 4)
    total = frames.new_zeros(clips, count + 3, size // 4)
    for part in range(4):
        total[:, part : part + count] += quarters[:, :, part]
    return total.flatten(1)


@lru_cache(maxsize=8)
def _envelope(size: int, length: int) -> Tensor:
    """Return the sum of the squared windows over each of ``length`` samples."""
    count = length // (size // 4) + 1
    return _add_frames(_hann(size).square().expand(1, count, size))[0, size // 2 : size // 2 + length]


@lru_cache(maxsize=8)
def _hann(size: int) -> Tensor:
    return torch.hann_window(size)


@dataclass(frozen=True)
class CropTransform:
    """Loudness, peak and phase of a crop, in the order and with the values of the Descript Audio Codec's recipe.

    Attributes:
        lufs: Mean of the loudness that a crop is brought to, in LUFS; none for the file's own.
        lufs_spread: Half the width of the uniform distribution of that loudness, in dB.
        peak: Largest absolute value that the loudness may lead to.
        phase: Half the width of the uniform distribution of the phase shift, in radians; 0 for none.
    """

    lufs: float | None = -16.0
    lufs_spread: float = 0.0
    peak: float = 1.0
    phase: float = math.pi

    def __post_init__(self) -> None:
        for name in ("lufs_spread", "phase"):
            if getattr(self, name) < 0:
                raise ValueError(f"transform.{name} is {getattr(self, name)}: give 0 or more")
        if self.peak <= 0:
            raise ValueError(f"transform.peak is {self.peak}: give a value above 0")

    def apply(self, audio: Tensor, sample_rate: int, measured: Tensor, draws: Tensor) -> Tensor:
        """Transform crops ``(B, L)``.

        Args:
            audio: The crops.
            sample_rate: In Hz.
            measured: Their loudness, ``(B,)``, in LUFS.
            draws: ``(B, 2)`` values uniform in [0, 1), for loudness and phase.
        """
        if self.lufs is not None:
            target = self.lufs + self.lufs_spread * (2 * draws[:, 0] - 1)
            audio = normalize_loudness(audio, measured, target)
        audio = limit_peak(audio, self.peak)
        return shift_phase(audio, self.phase * (2 * draws[:, 1] - 1), sample_rate) if self.phase else audio
