"""Integrated loudness of clips and of streams.

Own code, as ``pyloudnorm`` takes one clip at a time and needs all of it: four crops of 0.5 s at 16 kHz take 0.6 ms here
and 1.3 ms there, a minute of stereo at 44.1 kHz 137 ms and 339 ms (``benchmarks/audio.py``, one thread of a Xeon).
"""

import math
from functools import lru_cache
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SILENCE_LUFS = -70.0  # the absolute gate of BS.1770: nothing quieter is measured
_CHANNEL_GAINS = (1.0, 1.0, 1.0, 1.41, 1.41)


@final
class LoudnessMeter:
    """Measures the integrated loudness of ITU-R BS.1770-4 of audio that arrives in parts.

    The signal is K-weighted, cut into blocks of 400 ms that start every 100 ms, and the loudness is ``-0.691 + 10
    log10 sum_c G_c z_c``, where ``z_c`` is channel ``c``'s mean square over the blocks above -70 LUFS and above 10 dB
    below the mean of those. Between parts it keeps the filter's state, at most 400 ms of samples and ten block powers a
    second, so a recording of any length takes little memory.

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
        self._rate, self._length = sample_rate, 0
        self._state = self._held = np.zeros(0)
        self._powers: list[np.ndarray] = []

    def add(self, audio: Tensor) -> None:
        """Filter the next part ``(B, C, n)`` of the signal and measure the blocks that it completes.

        Raises:
            ValueError: For another shape.
        """
        _check(audio)
        if not self._length:
            self._state = np.zeros((len(_k_weighting(self._rate)), *audio.shape[:2], 2))
            self._held = np.zeros((*audio.shape[:2], 0))
        self._length += audio.shape[-1]
        self._measure(audio.detach().cpu().double().numpy())

    def loudness(self) -> Tensor:
        """End the signal and return its loudness ``(B,)`` in LUFS, float32, as ``integrated_loudness`` does."""
        self._measure(np.zeros((*self._held.shape[:2], _missing(self._length, self._rate))))
        return _gated(np.concatenate(self._powers, -1))

    def _measure(self, samples: np.ndarray) -> None:
        from scipy.signal import sosfilt

        if not samples.size:
            return
        size, step = _block(self._rate)
        with np.errstate(invalid="ignore"):  # samples that are not finite
            weighted, self._state = sosfilt(_k_weighting(self._rate), samples, zi=self._state)
            self._held = np.concatenate([self._held, weighted], -1) if self._held.size else weighted
            blocks = (self._held.shape[-1] - size) // step + 1
            if blocks > 0:
                self._powers.append(_block_power(self._held, blocks, size, step))
                self._held = self._held[..., blocks * step :]


def integrated_loudness(audio: Tensor, sample_rate: int) -> Tensor:
    """Return the gated loudness in LUFS of clips, -70 for quieter ones, NaN where a sample is not finite.

    By ITU-R BS.1770-4, see ``LoudnessMeter``. Clips below 0.5 s are lengthened by zeros, as the published codec's
    loader does.

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
    _check(audio)
    meter = LoudnessMeter(sample_rate)
    meter.add(F.pad(audio, (0, _missing(audio.shape[-1], sample_rate))))
    return meter.loudness()


def _check(audio: Tensor) -> None:
    if audio.ndim != 3 or not 1 <= audio.shape[1] <= len(_CHANNEL_GAINS):
        raise ValueError(f"loudness needs audio of shape (B, C, N) with 1 to 5 channels, not {tuple(audio.shape)}")


def _missing(length: int, sample_rate: int) -> int:
    """Count the zeros that complete 0.5 s and the last block."""
    size, step = _block(sample_rate)
    shortest = max(length, length + int((0.5 - length / sample_rate) * sample_rate))
    blocks = max(0, math.ceil((shortest - size) / step)) + 1
    return size + (blocks - 1) * step - length


def _block(sample_rate: int) -> tuple[int, int]:
    """Compute the length of a block and the distance of two, in samples."""
    return int(0.4 * sample_rate), int(0.1 * sample_rate)


def _block_power(weighted: np.ndarray, blocks: int, size: int, step: int) -> np.ndarray:
    """Compute the mean square of blocks of ``(B, C, n)``, all channels together: ``(B, blocks)``."""
    gains = np.array(_CHANNEL_GAINS[: weighted.shape[1]]) / size
    parts = (weighted[..., begin : begin + size] for begin in range(0, blocks * step, step))
    return np.stack([np.einsum("bcn,bcn->bc", part, part) @ gains for part in parts], -1)


def _gated(power: np.ndarray) -> Tensor:
    """Compute the gated loudness of weighted block powers ``(B, blocks)``."""
    with np.errstate(divide="ignore", invalid="ignore"):  # silence, and samples that are not finite
        level = _lufs(power)
        loud = level > SILENCE_LUFS
        relative = _lufs(_mean(power, loud))[:, None] - 10
        loudness = _lufs(_mean(power, loud & (level > relative))).clip(min=SILENCE_LUFS)
    return torch.from_numpy(np.where(np.isfinite(power).all(1), loudness, np.nan)).float()


def _lufs(power: np.ndarray) -> np.ndarray:
    return np.asarray(-0.691 + 10 * np.log10(power))


def _mean(power: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.asarray((power * chosen).sum(1) / chosen.sum(1).clip(min=1))


@lru_cache(maxsize=16)
def _k_weighting(sample_rate: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Compute the high-pass (38 Hz) and the high shelf (4 dB, 1500 Hz) as second-order sections, for any rate.

    After R. Bristow-Johnson's cookbook; at 48 kHz they match the standard's table to 0.03 dB. The high-pass comes
    first: in the zeros after a clip the shelf alone would decay to denormal numbers, and filtering take three times as
    long.
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
    return np.array([[v / high[3] for v in high], [*(v / a[0] for v in (*b, *a))]])


def _bilinear(frequency: float, quality: float, sample_rate: int) -> tuple[float, float]:
    angle = 2 * math.pi * frequency / sample_rate
    return math.cos(angle), math.sin(angle) / (2 * quality)
