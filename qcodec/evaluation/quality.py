"""What decoded audio is measured by: each metric says how it is called, which way is better, and where it applies."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal, final

import numpy as np
import soxr
import torch

from qcodec.evaluation.alignment import Signal, align
from qcodec.losses.spectral import MelLoss

_DELAY = 0.1  # seconds, the largest delay that is looked for


class NotMeasuredError(Exception):
    """Raised where a metric cannot be had, with the reason."""


class QualityMetric(ABC):
    """A distance or a score of decoded audio against its reference, both mono and aligned.

    Attributes:
        name: Column of the table.
        better: Which values are better.
        rate: Sampling rate in Hz that it works at; signals are resampled to it (soxr, very high quality). ``None`` for
            that of the signals.
        lowest: Lowest rate in Hz of signals that it applies to.
        shortest: Seconds that signals must have.
    """

    name: str
    better: Literal["lower", "higher"]
    rate: int | None = None
    lowest: int = 0
    shortest: float = 0.0

    @abstractmethod
    def measure(self, reference: Signal, decoded: Signal, rate: int) -> float:
        """Measure signals ``(n,)`` at a rate."""

    def __call__(self, reference: Signal, decoded: Signal, rate: int) -> float:
        """Measure signals ``(n,)`` of any rate, resampled where need be.

        Raises:
            NotMeasuredError: Where the metric does not apply, or fails.
        """
        if rate < self.lowest:
            raise NotMeasuredError(f"is for {self.lowest} Hz or more")
        if len(reference) < self.shortest * rate:
            raise NotMeasuredError(f"needs {self.shortest:g} s or more")
        if not (np.isfinite(reference).all() and np.isfinite(decoded).all()):
            raise NotMeasuredError("of samples that are no numbers")
        if self.rate and self.rate != rate:
            reference, decoded = (soxr.resample(each, rate, self.rate, "VHQ") for each in (reference, decoded))
        try:
            value = float(self.measure(reference, decoded, self.rate or rate))
        except NotMeasuredError:
            raise
        except Exception as error:  # of a package of others: it must not end a long evaluation
            raise NotMeasuredError(" ".join(f"{type(error).__name__}: {error}".split())[:120]) from error
        if not np.isfinite(value):
            raise NotMeasuredError(f"gave {value}")
        return value


@final
class Mel(QualityMetric):
    """Multi-scale mel distance, as DAC trains with (arXiv 2306.06546, section 3.3)."""

    name, better = "mel", "lower"

    def measure(self, reference: Signal, decoded: Signal, rate: int) -> float:
        """Compute ``MelLoss``."""
        first, second = (torch.from_numpy(each).float()[None, None] for each in (decoded, reference))
        with torch.no_grad():
            return float(_mel(rate)(first, second))


@cache
def _mel(rate: int) -> MelLoss:
    return MelLoss(rate)


@final
class MultiResolutionSTFT(QualityMetric):
    """Multi-resolution STFT distance (Yamamoto, Song and Kim, arXiv 1910.11480, eq. 4 to 6).

    Spectral convergence plus the mean absolute difference of log magnitudes, over three resolutions.
    """

    name, better = "stft", "lower"

    def measure(self, reference: Signal, decoded: Signal, rate: int) -> float:
        """Compute the mean over FFTs of 512, 1024 and 2048."""
        total = 0.0
        for size, hop, window in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
            first, second = (_magnitudes(each, size, hop, window) for each in (decoded, reference))
            total += float((second - first).norm() / second.norm() + (second.log() - first.log()).abs().mean())
        return total / 3


def _magnitudes(signal: Signal, size: int, hop: int, window: int) -> torch.Tensor:
    shape = torch.hann_window(window, dtype=torch.float64)
    spectrum = torch.stft(torch.from_numpy(signal), size, hop, window, shape, return_complex=True)
    return spectrum.abs().clamp(min=1e-7**0.5)


@final
class SISDR(QualityMetric):
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., arXiv 1811.02508, eq. 5), at most 100."""

    name, better = "si_sdr", "higher"

    def measure(self, reference: Signal, decoded: Signal, rate: int) -> float:
        """Compute ``10 log10(|a x|^2 / |a x - y|^2)`` with ``a = <x, y> / |x|^2``, means taken out."""
        reference, decoded = reference - reference.mean(), decoded - decoded.mean()
        target = reference * (decoded @ reference / (reference @ reference))
        error = max(float(np.sum((target - decoded) ** 2)), 1e-30)
        return min(10 * float(np.log10((target @ target) / error)), 100.0)


@final
class Packaged(QualityMetric):
    """A metric of a package of others, which the extra ``metrics`` installs; higher is better.

    Args:
        name: Column of the table.
        rate: As for every metric.
        module: What is imported.
        call: Computes it of the module, reference, decoded audio and rate.
        lowest: As for every metric.
        shortest: As for every metric.
    """

    better = "higher"

    def __init__(
        self,
        name: str,
        rate: int | None,
        module: str,
        call: Callable[[Any, Signal, Signal, int], float],
        lowest: int,
        shortest: float,
    ) -> None:
        self.name, self.rate, self.module, self.call = name, rate, module, call
        self.lowest, self.shortest = lowest, shortest

    def measure(self, reference: Signal, decoded: Signal, rate: int) -> float:
        """Call the package."""
        try:
            module = import_module(self.module)
        except ImportError:
            raise NotMeasuredError(f"needs {self.module.partition('.')[0]}: pip install 'qcodec[metrics]'") from None
        return self.call(module, reference, decoded, rate)


@cache
def _visqol(module: Any, mode: str) -> Any:
    """Return ViSQOL, with the lattice in speech mode: without it that mode predicts too much."""
    api = module.VisqolApi()
    api.create(mode=mode, **({"use_lattice_model": True} if mode == "speech" else {}))
    return api


def _log_wmse(module: Any, reference: Signal, decoded: Signal, rate: int) -> float:
    first, second = (torch.from_numpy(each).float()[None, None] for each in (reference, decoded))
    metric = module.LogWMSE(sample_rate=rate)
    return float(metric(unprocessed_audio=first, processed_audio=second[None], target_audio=first[None]))


def _dnsmos(module: Any, _: Signal, decoded: Signal, rate: int) -> float:
    """Return the overall score of what is heard alone."""
    found = module.run(np.clip(decoded, -1, 1).astype(np.float32), sr=rate, return_df=False)
    return float(found["ovrl_mos"])


def _plcmos(module: Any, _: Signal, decoded: Signal, rate: int) -> float:
    """Return the score of what is heard alone, by the listener whom the package draws for NumPy's seed 0."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        found = module.run(np.clip(decoded, -1, 1).astype(np.float32), sr=rate, return_df=False)
    finally:
        np.random.set_state(state)
    return float(found["plcmos"])


METRICS: tuple[QualityMetric, ...] = (
    Mel(),
    MultiResolutionSTFT(),
    SISDR(),
    Packaged("pesq_nb", 8000, "pesq", lambda m, x, y, rate: m.pesq(rate, x, y, "nb"), lowest=8000, shortest=0.25),
    Packaged("pesq_wb", 16000, "pesq", lambda m, x, y, rate: m.pesq(rate, x, y, "wb"), lowest=16000, shortest=0.25),
    Packaged("stoi", 10000, "pystoi", lambda m, x, y, rate: m.stoi(x, y, rate), lowest=10000, shortest=0.5),
    Packaged(
        "visqol_speech", 16000, "visqol", lowest=16000, shortest=1.0,
        call=lambda m, x, y, rate: _visqol(m, "speech").measure_from_arrays(x, y, rate).moslqo,
    ),
    Packaged(
        "visqol_audio", 48000, "visqol", lowest=32000, shortest=1.0,
        call=lambda m, x, y, rate: _visqol(m, "audio").measure_from_arrays(x, y, rate).moslqo,
    ),
    Packaged(
        "zimtohrli", 48000, "zimtohrli", lowest=16000, shortest=0.5,
        call=lambda m, x, y, _: m.mos_from_signals(x, y),
    ),
    Packaged("log_wmse", None, "torch_log_wmse", _log_wmse, lowest=8000, shortest=0.25),
    Packaged("dnsmos", 16000, "speechmos.dnsmos", _dnsmos, lowest=16000, shortest=1.0),
    Packaged("plcmos", 16000, "speechmos.plcmos", _plcmos, lowest=16000, shortest=1.0),
)  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """What was measured of a recording.

    Attributes:
        values: By metric, the mean over channels.
        notes: Why a metric is missing.
        delay: Samples by which the first channel came late.
    """

    values: dict[str, float]
    notes: dict[str, str]
    delay: int


def quality(reference: Signal, decoded: Signal, rate: int, metrics: Sequence[QualityMetric] = METRICS) -> Quality:
    """Align decoded audio with its reference and measure each channel.

    Args:
        reference: ``(C, n)`` what was encoded.
        decoded: ``(C, m)`` what came back.
        rate: Of both, in Hz.
        metrics: What is measured; one that fails is a note.
    """
    pairs = [
        align(first.astype(np.float64), second.astype(np.float64), int(_DELAY * rate))
        for first, second in zip(reference, decoded, strict=True)
    ]
    values, notes = {}, {}
    for metric in metrics:
        try:
            values[metric.name] = float(np.mean([metric(pair.reference, pair.decoded, rate) for pair in pairs]))
        except NotMeasuredError as reason:
            notes[metric.name] = str(reason)
    return Quality(values, notes, pairs[0].delay)
