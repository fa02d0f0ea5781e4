"""Integrated loudness."""

import math
from functools import lru_cache
from typing import final

import numpy as np
import torch
from torch import Tensor

SILENCE_LUFS = -70.0  # the absolute gate of BS.1770: nothing quieter is measured
_CHANNEL_GAINS = (1.0, 1.0, 1.0, 1.41, 1.41)


def integrated_loudness(audio: Tensor, sample_rate: int) -> Tensor:
    """Give the gated loudness of ITU-R BS.1770-4 in LUFS, -70 for what is quieter, NaN where a sample is not finite.

    The mean square ``z`` of blocks of 400 ms, 100 ms apart, of the K-weighted signal gives ``-0.691 + 10 log10 sum_c
    G_c mean z_c`` over the blocks above -70 LUFS and above 10 dB below the mean of those. Clips below 0.5 s are
    lengthened by zeros, as the published codec's loader does.

    Args:
        audio: ``(B, C, N)``, up to five channels.
        sample_rate: In Hz.

    Returns:
        ``(B,)``, float32.

    Raises:
        ValueError: For another shape.

    Example:
        >>> tone = torch.sin(2 * math.pi * 1000 * torch.arange(48000) / 48000).expand(1, 1, -1)
        >>> round(integrated_loudness(tone, 48000).item(), 1)
        -3.0
    """
    from scipy.signal import sosfilt

    if audio.ndim != 3 or not 1 <= audio.shape[1] <= len(_CHANNEL_GAINS):
        raise ValueError(f"loudness needs audio of shape (B, C, N) with 1 to 5 channels, not {tuple(audio.shape)}")
    shortest = audio.shape[-1] + int((0.5 - audio.shape[-1] / sample_rate) * sample_rate)
    size, step = int(0.4 * sample_rate), int(0.1 * sample_rate)
    blocks = max(0, math.ceil((max(shortest, audio.shape[-1]) - size) / step)) + 1
    samples = np.zeros((*audio.shape[:2], max(audio.shape[-1], size + (blocks - 1) * step)))
    samples[..., : audio.shape[-1]] = audio.detach().cpu()
    weighted = sosfilt(_k_weighting(sample_rate), samples)
    return _gated(torch.from_numpy(_block_power(weighted, blocks, size, step))).float()


@final
class LoudnessMeter:
    """Measures the same of audio that comes in parts; of each it keeps ten numbers a second.

    Args:
        sample_rate: In Hz.

    Example:
        >>> audio, meter = torch.rand(1, 2, 48000), LoudnessMeter(48000)
        >>> for part in audio.split(1000, -1):
        ...     meter.add(part)
        >>> bool(torch.isclose(meter.loudness(), integrated_loudness(audio, 48000)))
        True
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate, self._size, self._step = sample_rate, int(0.4 * sample_rate), int(0.1 * sample_rate)
        self._length = 0
        self._state = self._held = np.zeros(0)
        self._powers: list[np.ndarray] = []

    def add(self, audio: Tensor) -> None:
        """Measure one more part ``(B, C, n)``.

        Raises:
            ValueError: For another shape.
        """
        if audio.ndim != 3 or not 1 <= audio.shape[1] <= len(_CHANNEL_GAINS):
            raise ValueError(f"loudness needs audio of shape (B, C, N) with 1 to 5 channels, not {tuple(audio.shape)}")
        if not self._length:
            self._state = np.zeros((len(_k_weighting(self._rate)), *audio.shape[:2], 2))
            self._held = np.zeros((*audio.shape[:2], 0))
        self._length += audio.shape[-1]
        self._measure(audio.detach().cpu().double().numpy())

    def loudness(self) -> Tensor:
        """Give the loudness ``(B,)`` of all parts, float32; nothing can be added after it."""
        shortest = max(self._length, self._length + int((0.5 - self._length / self._rate) * self._rate))
        blocks = max(0, math.ceil((shortest - self._size) / self._step)) + 1
        missing = self._size + (blocks - 1) * self._step - self._length
        self._measure(np.zeros((*self._held.shape[:2], max(0, missing))))
        return _gated(torch.from_numpy(np.concatenate(self._powers, -1))).float()

    def _measure(self, samples: np.ndarray) -> None:
        from scipy.signal import sosfilt

        if not samples.size:
            return
        weighted, self._state = sosfilt(_k_weighting(self._rate), samples, zi=self._state)
        self._held = np.concatenate([self._held, weighted], -1)
        blocks = (self._held.shape[-1] - self._size) // self._step + 1
        if blocks > 0:
            self._powers.append(_block_power(self._held, blocks, self._size, self._step))
            self._held = self._held[..., blocks * self._step :]


def _block_power(weighted: np.ndarray, blocks: int, size: int, step: int) -> np.ndarray:
    """Mean square of blocks of ``(B, C, n)``, all channels together: ``(B, blocks)``."""
    energy = np.zeros((*weighted.shape[:2], weighted.shape[-1] + 1))
    np.cumsum(np.square(weighted), axis=-1, out=energy[..., 1:])
    begins = np.arange(blocks) * step
    power = (energy[..., begins + size] - energy[..., begins]) / size
    gains = np.array(_CHANNEL_GAINS[: weighted.shape[1]])
    total: np.ndarray = np.einsum("c,bcn->bn", gains, power)
    return total


def _gated(power: Tensor) -> Tensor:
    """Loudness of weighted block powers ``(B, blocks)``."""
    level = _lufs(power)
    loud = level > SILENCE_LUFS
    relative = _lufs(_mean(power, loud))[:, None] - 10
    loudness = _lufs(_mean(power, loud & (level > relative))).clamp(min=SILENCE_LUFS)
    return torch.where(power.isfinite().all(1), loudness, math.nan)


def _lufs(power: Tensor) -> Tensor:
    return -0.691 + 10 * power.log10()


def _mean(power: Tensor, chosen: Tensor) -> Tensor:
    return (power * chosen).sum(1) / chosen.sum(1).clamp(min=1)


@lru_cache(maxsize=16)
def _k_weighting(sample_rate: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Give the high shelf (4 dB, 1500 Hz) and the high-pass (38 Hz) as second-order sections, for any rate.

    After R. Bristow-Johnson's cookbook; at 48 kHz they match the standard's table to 0.03 dB.
    """
    shelf = _bilinear(1500.0, 1 / math.sqrt(2), sample_rate)
    cosine, alpha, root = *shelf, 10 ** (4 / 80)
    amp = root * root
    b = [
        amp * ((amp + 1) + (amp - 1) * cosine + 2 * root * alpha),
        -2 * amp * ((amp - 1) + (amp + 1) * cosine),
        amp * ((amp + 1) + (amp - 1) * cosine - 2 * root * alpha),
    ]
    a = [
        (amp + 1) - (amp - 1) * cosine + 2 * root * alpha,
        2 * ((amp - 1) - (amp + 1) * cosine),
        (amp + 1) - (amp - 1) * cosine - 2 * root * alpha,
    ]
    cosine, alpha = _bilinear(38.0, 0.5, sample_rate)
    high = [(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2, 1 + alpha, -2 * cosine, 1 - alpha]
    return np.array([[*(v / a[0] for v in (*b, *a))], [v / high[3] for v in high]])


def _bilinear(frequency: float, quality: float, sample_rate: int) -> tuple[float, float]:
    angle = 2 * math.pi * frequency / sample_rate
    return math.cos(angle), math.sin(angle) / (2 * quality)
