"""Integrated loudness."""

import math
from functools import lru_cache
from typing import final

import numpy as np
import torch
from torch import Tensor

SILENCE_LUFS = -70.0  # the absolute gate of BS.1770: nothing quieter is measured
_CHANNEL_GAINS = (1.0, 1.0, 1.0, 1.41, 1.41)
_STRETCH = 32  # samples that are filtered at once, by a product with a matrix


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
    if audio.ndim != 3 or not 1 <= audio.shape[1] <= len(_CHANNEL_GAINS):
        raise ValueError(f"loudness needs audio of shape (B, C, N) with 1 to 5 channels, not {tuple(audio.shape)}")
    shortest = audio.shape[-1] + int((0.5 - audio.shape[-1] / sample_rate) * sample_rate)
    size, step = int(0.4 * sample_rate), int(0.1 * sample_rate)
    blocks = max(0, math.ceil((max(shortest, audio.shape[-1]) - size) / step)) + 1
    length = max(audio.shape[-1], size + (blocks - 1) * step)
    samples = np.zeros((*audio.shape[:2], -(-length // _STRETCH), _STRETCH))
    samples.reshape(*audio.shape[:2], -1)[..., : audio.shape[-1]] = audio.detach().cpu()
    with np.errstate(invalid="ignore"):  # samples that are not finite
        return _gated(_block_power(_weighted(samples, sample_rate), blocks, size, step))


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
        return _gated(np.concatenate(self._powers, -1))

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


def _weighted(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """K-weight ``(B, C, S, n)``, stretches of a signal one after the other: ``(B, C, S n)``.

    The filter is linear: a stretch of its output is a matrix times that of its input and another times the filter's
    state before it. Each state is ``s_k = F s_(k-1) + v_k``, where ``v_k`` is what the stretch alone leaves; doubling
    the reach of the sum over the earlier ones gives all of them in ``log2 S`` steps.
    """
    direct, rest, leave, step = _stretch_response(sample_rate)
    states, reach = samples @ leave, 1
    while reach < states.shape[-2]:
        states[..., reach:, :] += states[..., :-reach, :] @ step
        step, reach = step @ step, 2 * reach
    weighted: np.ndarray = samples @ direct
    weighted[..., 1:, :] += states[..., :-1, :] @ rest
    return weighted.reshape(*samples.shape[:2], -1)


@lru_cache(maxsize=16)
def _stretch_response(sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give a stretch's matrices, each for rows: input and state to output, input and state to the state after it."""
    from scipy.signal import sosfilt

    size = 4  # of the state: two numbers for each of the two sections
    inputs, states = np.eye(_STRETCH + size, _STRETCH), np.eye(_STRETCH + size, size, -_STRETCH)
    begin = states.reshape(-1, 2, 2).swapaxes(0, 1)
    outputs, end = sosfilt(_k_weighting(sample_rate), inputs, zi=begin)
    after = end.swapaxes(0, 1).reshape(-1, size)
    return outputs[:_STRETCH], outputs[_STRETCH:], after[:_STRETCH], after[_STRETCH:]


def _block_power(weighted: np.ndarray, blocks: int, size: int, step: int) -> np.ndarray:
    """Mean square of blocks of ``(B, C, n)``, all channels together: ``(B, blocks)``."""
    gains = np.array(_CHANNEL_GAINS[: weighted.shape[1]]) / size
    parts = (weighted[..., begin : begin + size] for begin in range(0, blocks * step, step))
    return np.stack([np.einsum("bcn,bcn->bc", part, part) @ gains for part in parts], -1)


def _gated(power: np.ndarray) -> Tensor:
    """Loudness of weighted block powers ``(B, blocks)``."""
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
