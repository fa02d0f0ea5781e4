"""What is done to a crop of audio before it is served."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


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

    ``istft(stft(x) exp(i shift))`` with a Hann window of the power of two at or above 32 ms, a quarter of it apart.
    """
    window = torch.hann_window(2 ** math.ceil(math.log2(0.032 * sample_rate)), device=audio.device)
    size, hop = len(window), len(window) // 4
    spectrum = torch.stft(audio, size, hop, window=window, return_complex=True)
    turned = spectrum * torch.polar(torch.ones_like(shift), shift)[:, None, None]
    return torch.istft(turned, size, hop, window=window, length=audio.shape[-1])


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
