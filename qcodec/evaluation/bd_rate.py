"""Bjontegaard deltas: how much rate one codec saves at equal quality, with intervals over recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from qcodec.runs.read import FloatArray

Interpolation = Literal["pchip", "akima"]
_INTERPOLATORS = {"pchip": PchipInterpolator, "akima": Akima1DInterpolator}
LEAST_OVERLAP = 0.25  # of both ranges together; a mean over less says nothing of the curves


@dataclass(frozen=True)
class Delta:
    """A Bjontegaard delta of one codec against a reference.

    Attributes:
        value: Of the means over recordings: a relative rate (-0.2: a fifth less), or a difference of quality.
        low: Lower end of its 95 % interval, by the percentiles of bootstrap samples of the recordings.
        high: Upper end.
        overlap: Share of the two curves' ranges together that both have, over which it is a mean.
        recordings: Number of them.
    """

    value: float
    low: float
    high: float
    overlap: float
    recordings: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.value:.3g} (95 % interval {self.low:.3g} to {self.high:.3g}, {self.recordings} recordings)"


def bd_rate(
    reference: tuple[FloatArray, FloatArray],
    other: tuple[FloatArray, FloatArray],
    *,
    better: Literal["lower", "higher"] = "higher",
    interpolation: Interpolation = "pchip",
    samples: int = 1000,
) -> Delta:
    """Compute the mean relative rate of a codec at equal quality (Bjontegaard, VCEG-M33, 2001).

    The mean over the qualities that both curves have of log rate, interpolated, and of that the exponential less 1.
    Recordings are drawn with replacement, the same for both codecs.

    Args:
        reference: Rates and qualities ``(recordings, rates)``, four rates or more.
        other: Those of the codec, of the same recordings.
        better: Which qualities are better.
        interpolation: Piecewise cubic Hermite (``pchip``), or Akima's.
        samples: Number of bootstrap samples.

    Raises:
        ValueError: For too few points, quality that does not rise with rate, or curves that hardly overlap.

    Example:
        >>> rate = np.array([[1.0, 2.0, 4.0, 8.0]])
        >>> delta = bd_rate((rate, np.log(rate)), (rate / 2, np.log(rate)), samples=10)
        >>> round(delta.value, 6)
        -0.5
    """
    sign = 1.0 if better == "higher" else -1.0
    curves = [(sign * qualities, np.log(rates)) for rates, qualities in (reference, other)]
    difference, overlap = _bootstrapped(curves, interpolation, samples)
    value, low, high = np.expm1(_with_interval(difference)).tolist()
    return Delta(value, low, high, overlap, len(reference[0]))


def bd_quality(
    reference: tuple[FloatArray, FloatArray],
    other: tuple[FloatArray, FloatArray],
    *,
    better: Literal["lower", "higher"] = "higher",
    interpolation: Interpolation = "pchip",
    samples: int = 1000,
) -> Delta:
    """Compute the mean difference of quality at equal rate, over the log rates that both curves have.

    Arguments and errors are those of ``bd_rate``; where lower qualities are better, so are lower differences.
    """
    sign = 1.0 if better == "higher" else -1.0
    curves = [(np.log(rates), sign * qualities) for rates, qualities in (reference, other)]
    difference, overlap = _bootstrapped(curves, interpolation, samples)
    value, low, high = _with_interval(sign * difference).tolist()
    return Delta(value, low, high, overlap, len(reference[0]))


def _with_interval(found: FloatArray) -> FloatArray:
    """Return the value of all recordings, and the ends of the 95 % interval by its samples."""
    return np.array([found[0], *np.percentile(found[1:], [2.5, 97.5])])


def _bootstrapped(
    curves: Sequence[tuple[FloatArray, FloatArray]], interpolation: Interpolation, samples: int
) -> tuple[FloatArray, float]:
    """Return the mean difference of the second value over the first, of all recordings and of each sample of them."""
    recordings = len(curves[0][0])
    if any(x.shape != y.shape or x.ndim != 2 or len(x) != recordings for x, y in curves):
        raise ValueError("both codecs need rates and qualities (recordings, rates) of the same recordings")
    if min(x.shape[1] for x, _ in curves) < 4:
        raise ValueError("a curve needs four rates or more: evaluate with more --points")
    difference, overlap = _difference([(x.mean(0), y.mean(0)) for x, y in curves], interpolation)
    random = np.random.default_rng(0)
    found = [difference]
    for _ in range(samples):
        chosen = random.integers(recordings, size=recordings)
        try:
            found.append(_difference([(x[chosen].mean(0), y[chosen].mean(0)) for x, y in curves], interpolation)[0])
        except ValueError:  # a sample whose curve falls somewhere, or hardly overlaps
            continue
    if len(found) <= samples / 2:
        raise ValueError("in most samples of the recordings quality does not rise with rate: take more recordings")
    return np.array(found), overlap


def _difference(curves: Sequence[tuple[FloatArray, FloatArray]], interpolation: Interpolation) -> tuple[float, float]:
    ordered = [(x[np.argsort(x)], y[np.argsort(x)]) for x, y in curves]
    for x, y in ordered:
        if not (np.diff(x) > 0).all() or not (np.diff(y) > 0).all():
            raise ValueError("quality does not rise with rate, so that one quality has several rates")
    low, high = max(x[0] for x, _ in ordered), min(x[-1] for x, _ in ordered)
    whole = max(x[-1] for x, _ in ordered) - min(x[0] for x, _ in ordered)
    overlap = float((high - low) / whole)
    if overlap < LEAST_OVERLAP:
        share = f"{max(overlap, 0):.0%} of their range, less than {LEAST_OVERLAP:.0%}"
        raise ValueError(f"the curves share {share}: evaluate at other rates")
    kind = _INTERPOLATORS[interpolation]
    first, second = (kind(x, y).antiderivative() for x, y in ordered)
    areas = [float(integral(high) - integral(low)) for integral in (first, second)]
    return (areas[1] - areas[0]) / float(high - low), overlap


def compare_rates(
    rows: Sequence[Mapping[str, str]],
    pair: tuple[str, str],
    metric: str,
    better: Literal["lower", "higher"],
    interpolation: Interpolation = "pchip",
) -> str:
    """Return in words BD-rate and BD-metric of a model against a reference, or why there is none.

    Args:
        rows: Of ``evaluation.csv``; recordings with an empty cell are left out.
        pair: The reference, and the model.
        metric: Column of the quality.
        better: Which of its values are better.
        interpolation: As for ``bd_rate``.
    """
    first, second = (_by_recording(rows, name, metric) for name in pair)
    files = [file for file in first if file in second]
    if not files:
        return "no recording has both"
    try:
        curves = [_stacked([found[file] for file in files]) for found in (first, second)]
        rate = bd_rate(curves[0], curves[1], better=better, interpolation=interpolation)
        quality = bd_quality(curves[0], curves[1], better=better, interpolation=interpolation)
    except ValueError as error:
        return f"none, as {error}"
    shares = f"over {rate.overlap:.0%} of the qualities and {quality.overlap:.0%} of the rates"
    return f"BD-rate {rate}, BD-metric {quality}, {shares}"


def _stacked(points: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    if len({len(each) for each in points}) > 1:
        raise ValueError("recordings were measured at different numbers of rates")
    whole = np.stack(points)
    return whole[..., 0], whole[..., 1]


def _by_recording(rows: Sequence[Mapping[str, str]], model: str, metric: str) -> dict[str, FloatArray]:
    """Return rates and qualities ``(rates, 2)`` of each recording of a model that has all of them."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        if row["model"] == model:
            found.setdefault(row["file"], []).append(row)
    return {
        file: np.array(sorted((float(row["kbps"]), float(row[metric])) for row in own))
        for file, own in found.items()
        if all(row[metric] for row in own)
    }
