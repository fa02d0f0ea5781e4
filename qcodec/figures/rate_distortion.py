"""The figure of rate against distortion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures import style as style
from qcodec.figures.data import Axis
from qcodec.figures.drawn import Drawn
from qcodec.figures.words import short, two_lines
from qcodec.runs.read import FloatArray, Run
from qcodec.runs.schema import Bound

GOOD_MSE = 0.01  # a budget of bits suffices where the hard MSE lies below this
_MSE, _ENTROPY, _BUDGET = "hard_mse", "entropy_bits", "bits_per_frame"  # metrics of a surrogate's run


@dataclass(frozen=True)
class Point:
    """What one system spends and what it gets for it."""

    bits: FloatArray  # (seeds,) bits per frame
    mse: FloatArray  # (seeds,) MSE per value of the hard quantizer
    budget: float = float("nan")  # nominal bits per frame, what its codes can carry at most

    @property
    def centre(self) -> tuple[float, float]:
        """Return medians of bits and MSE over seeds; an MSE of nan counts as infinite."""
        return float(np.median(self.bits)), float(np.median(np.nan_to_num(self.mse, nan=np.inf, posinf=np.inf)))


def draw(run: Run) -> Iterator[Drawn]:
    """Draw the rate and distortion of a surrogate's run on held-out data."""
    points, left_out = _points(run)
    if points:
        note = f"left out, as their codes have too many values for an entropy: {', '.join(left_out)}"
        stated, title = run.description, "Rate and distortion on held-out data"
        figure = rate_distortion(
            points, stated.bound, title=title, note=note if left_out else "", references=stated.references
        )
        caption = (
            "MSE per value of the hard quantizer on held-out data against bits per frame: the entropy of the codes, "
            "or what they can carry at most where that was not logged. Large points: medians over seeds; dots: "
            "single seeds" + (f"; {note}." if left_out else ".")
        )
        yield Drawn("rate_distortion", caption, figure)


def _points(run: Run) -> tuple[dict[str, Point], list[str]]:
    """Return rate and distortion of each system, and the names of those whose codes have too many values to count."""
    points, left_out = {}, []
    for system, hard in run.metrics.get(_MSE, {}).items():
        nominal, entropy = run.series(_BUDGET, system), run.series(_ENTROPY, system)
        budget = float(np.median(nominal.last)) if nominal else float("nan")
        bits = entropy or nominal
        if bits is entropy and bits and not np.isfinite(bits.last).any():
            left_out.append(system)
        elif bits and np.isfinite(bits.last).all():
            points[system] = Point(bits.last, hard.last, budget)
    return points, left_out


def minimum_bits(points: Mapping[str, Point]) -> str | None:
    """Return the system of the smallest budget whose MSE is below ``GOOD_MSE``; None where budgets do not differ.

    Example:
        >>> few, many = (Point(np.array([b]), np.array([mse]), b) for b, mse in ((40.0, 0.2), (60.0, 0.004)))
        >>> minimum_bits({"few": few, "many": many})
        'many'
    """
    good = [name for name, point in points.items() if point.centre[1] < GOOD_MSE and np.isfinite(point.budget)]
    if len({point.budget for point in points.values()}) < 2 or not good:
        return None
    return min(good, key=lambda name: (points[name].budget, points[name].centre[1]))


@style.styled
def rate_distortion(
    points: Mapping[str, Point],
    bound: Bound | None,
    *,
    title: str,
    note: str = "",
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Draw each system's bits per frame and MSE above the bound: medians, and a dot for each seed.

    Up to ten systems are all named; of more, those that no other beats in both.

    Raises:
        ValueError: Without a point.
    """
    if not points:
        raise ValueError(f"no system to draw in the figure {title!r}: give at least one point")
    axis = _axis(points, bound, references or {})
    figure = Figure(figsize=(style.WIDTH, 3.8))
    axes = style.axes_in_inches(figure, 0.62, 0.48, 4.4, 2.8)
    style.titled(figure, title, note)
    style.scale(axes, axis)
    ends = [float(bits) for point in points.values() for bits in point.bits] + (
        [float(bound.bits[-1])] if bound else []
    )
    axes.set_xlim(0, 1.06 * max([end for end in ends if np.isfinite(end)], default=1.0) or 1.0)
    axes.set_xlabel("bits per frame")
    axes.set_ylabel("MSE per value, hard quantizer")
    if bound:
        floor = np.maximum(bound.distortion, axis.low / 10)
        axes.fill_between(bound.bits, floor, axis.low, color=style.GRID, linewidth=0, alpha=0.7)
        axes.plot(bound.bits, floor, color=style.INK)
        axes.text(0.03, 0.05, "below R(D): out of reach", color=style.MUTED, transform=axes.transAxes)
    labels = []
    for name, value in (references or {}).items():
        axes.axhline(value, **style.REFERENCE)
        mark = "" if style.is_single_column() else "_"
        labels.append(style.Label(axis.fraction(value), f"{name}  {short(value)}", marker=mark, dashes=style.DASHED))
    best = minimum_bits(points)
    look = style.slots(list(points)) if len(points) <= len(style.SLOTS) else {}
    named = set(look) or _front(points) | ({best} if best else set())
    for name, point in points.items():
        bits, mse = point.centre
        if not np.isfinite(bits):
            continue
        colour, _, marker = look.get(name, (style.ACCENT if name in named else style.OTHERS, "-", "o"))
        marker = "^" if mse > axis.high else marker
        held = axis.held(np.nan_to_num(point.mse, nan=np.inf, posinf=np.inf))
        at = float(np.median(held))
        layer = 4 if name in named else 3
        axes.plot(point.bits, held, ".", color=colour, markersize=3.5, alpha=0.6, clip_on=False, zorder=layer)
        axes.plot(
            [bits], [at], marker, color=colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.5,
            clip_on=False, zorder=layer,
        )  # fmt: skip
        if name in named:
            start = bits / axes.get_xlim()[1]
            second = f"minimum number of bits: {point.budget:g}" if name == best else ""
            mark = marker if look or style.is_single_column() else ""
            text, second = two_lines(name, f"{short(mse)}, {bits:.1f} bits", second)
            labels.append(style.Label(axis.fraction(mse), text, colour, second, start, mark))
        if name == best:
            axes.axvline(bits, color=colour, linewidth=0.8, dashes=(1, 2), zorder=1.5)
            axes.plot([bits], [at], "o", markersize=10, markerfacecolor="none", color=colour, zorder=5, clip_on=False)
    style.label_column(axes, labels)
    return figure


def _axis(points: Mapping[str, Point], bound: Bound | None, references: Mapping[str, float]) -> Axis:
    """Choose a logarithmic axis that holds all finite points, the references and the bound's start."""
    finite = [mse for mse in (point.centre[1] for point in points.values()) if np.isfinite(mse) and mse > 0]
    fixed = [*references.values(), *([float(bound.distortion[0])] if bound else [])]
    low = max(1e-5, min([*finite, *fixed, GOOD_MSE]) / 2)
    return Axis(low, 3 * max(fixed or finite or [1.0]), log=True)


def _front(points: Mapping[str, Point], most: int = 8) -> set[str]:
    """Choose up to ``most`` of the systems that no other beats in both bits and MSE, evenly from all."""
    front: list[str] = []
    for name, point in sorted(points.items(), key=lambda item: item[1].centre[::-1]):
        bits, mse = point.centre
        if np.isfinite(bits) and np.isfinite(mse) and all(bits < points[other].centre[0] for other in front):
            front.append(name)
    return {front[index] for index in np.linspace(0, len(front) - 1, min(most, len(front))).astype(int)}
