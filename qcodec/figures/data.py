"""What figures are drawn from: curves over training, and the axis that shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from qcodec.runs.read import FloatArray

_LOWEST = 1e-5  # smaller values are drawn at a logarithmic axis' lower end
_LOG_FROM = 20.0  # ratio of largest to smallest value above which an axis is logarithmic


@dataclass(frozen=True)
class Curve:
    """One system's metric over training."""

    updates: FloatArray  # (logged,)
    values: FloatArray  # (seeds, logged)
    diverged_at: FloatArray = field(default_factory=lambda: np.empty(0))  # (seeds,) updates, nan where never

    @property
    def diverged(self) -> bool:
        """Return whether any seed has diverged."""
        return bool(np.isfinite(self.diverged_at).any())

    def range(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return smallest value, median and largest value over seeds, ``(logged,)`` each.

        A nan counts as infinite once any seed has diverged; otherwise it leaves a gap.
        """
        filled = np.where(np.isnan(self.values), np.inf if self.diverged else np.nan, self.values)
        return filled.min(axis=0), np.asarray(np.median(filled, axis=0), dtype=np.float64), filled.max(axis=0)

    @property
    def spread(self) -> str:
        """Return in words what ``range`` is."""
        most = len(self.values)
        return f"lines: median of up to {most} seeds; bands: least to greatest" if most > 1 else "one seed"

    @property
    def last(self) -> float:
        """Return the middle of ``range`` at the last logged step."""
        return float(self.range()[1][-1])

    def fate(self) -> str:
        """Return in a few words when it diverged; empty where no seed did."""
        when = self.diverged_at[np.isfinite(self.diverged_at)]
        if not len(when):
            return ""
        if len(when) == 1:
            some = f"1 of {len(self.diverged_at)} " if len(self.diverged_at) > 1 else ""
            return f"{some}diverged at update {when[0]:,.0f}"
        some = "all" if len(when) == len(self.diverged_at) else f"{len(when)} of {len(self.diverged_at)}"
        return f"{some} diverged, from {when.min():,.0f} on"


class MeanCurve(Curve):
    """A curve of the mean over seeds, with its standard error, for runs of which seeds are a sample."""

    def range(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean minus standard error, mean, and mean plus standard error over the seeds that have a value."""
        number = np.maximum((~np.isnan(self.values)).sum(axis=0), 1)
        known = np.where(np.isnan(self.values), 0.0, self.values)
        mean = np.where(np.isnan(self.values).all(axis=0), np.nan, known.sum(axis=0) / number)
        squares = np.where(np.isnan(self.values), 0.0, (self.values - mean) ** 2).sum(axis=0)
        error = np.sqrt(squares / np.maximum(number - 1, 1) / number)
        return mean - error, mean, mean + error

    @property
    def spread(self) -> str:
        """Return in words what ``range`` is."""
        most = len(self.values)
        return f"lines: mean of N = {most} or fewer runs; bands: its standard error" if most > 1 else "N = 1"


@dataclass(frozen=True)
class Axis:
    """Range and scale of a vertical axis."""

    low: float
    high: float
    log: bool

    def held(self, values: FloatArray) -> FloatArray:
        """Return values, moved to the axis' ends where they lie beyond them; nan stays."""
        return np.asarray(np.clip(values, self.low, self.high), dtype=np.float64)

    def line(self, values: FloatArray) -> FloatArray:
        """Return held values, with a gap between the first and the last point of a stretch above the axis."""
        held = self.held(values)
        above = np.concatenate([[False], held >= self.high, [False]])
        return np.where(above[:-2] & above[1:-1] & above[2:], np.nan, held)

    def fraction(self, value: float) -> float:
        """Return the height of a value on the axis, from 0 to 1; nan counts as above it."""
        at = self.high if np.isnan(value) else min(max(value, self.low), self.high)
        low, middle, high = np.log([self.low, at, self.high]) if self.log else (self.low, at, self.high)
        return float((middle - low) / (high - low))


def over_epochs(curves: Mapping[str, Curve], updates_per_epoch: int | None) -> tuple[dict[str, Curve], str]:
    """Return curves over epochs, and that axis' name; over updates where ``updates_per_epoch`` is not known."""
    period = updates_per_epoch or 1
    scaled = {name: replace(curve, updates=curve.updates / period) for name, curve in curves.items()}
    return scaled, f"epoch ({period:,} updates each)" if updates_per_epoch else "update"


def fit_axis(curves: Mapping[str, Curve], references: Mapping[str, float]) -> Axis:
    """Choose the axis for curves: logarithmic with references or where positive values span more than a factor of 20.

    It ends at three times the largest reference; without any, a little above the largest value, but at 100 times that
    of the systems that have not diverged.
    """
    values = _finite(list(curves.values()))
    if references:
        top = 3 * max(references.values())
        least = min([*values[values > 0], *references.values()])
        return Axis(min(max(_LOWEST, least / 1.5), top / 10), top, log=True)
    sane = _finite([curve for curve in curves.values() if not curve.diverged])
    if not len(values):
        return Axis(0.0, 1.0, log=False)
    low, high = float(values.min()), float(values.max())
    usual = float(sane.max()) if len(sane) else float(np.median(values))
    high = min(high, max(100 * usual, low)) if usual > 0 else high
    if low > 0 and high / low > _LOG_FROM:
        return Axis(low / 1.3, high * 1.3, log=True)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - room if low < 0 else 0.0, high + room, log=False)


def _finite(curves: list[Curve]) -> FloatArray:
    values: FloatArray = np.concatenate([np.empty(0), *(curve.values.ravel() for curve in curves)])
    return values[np.isfinite(values)]
