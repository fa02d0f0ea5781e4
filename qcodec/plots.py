"""Figures of learning curves and of rate against distortion: pure functions from data to a matplotlib ``Figure``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qcodec import plot_style as style
from qcodec.plot_style import FloatArray

MOST_LINES = 10  # beyond this many systems, each has a panel of its own
_LOWEST_MSE = 1e-5  # smaller values are drawn at the axis' lower end


@dataclass(frozen=True)
class Curve:
    """One system's metric over training."""

    updates: FloatArray  # (logged,)
    values: FloatArray  # (seeds, logged)
    diverged_at: FloatArray = field(default_factory=lambda: np.empty(0))  # (seeds,) updates, nan where never

    def centre(self) -> FloatArray:
        """Median over seeds, ``(logged,)``; a seed's nan counts as infinite once any seed has diverged."""
        lost = np.inf if np.isfinite(self.diverged_at).any() else np.nan
        return np.asarray(np.median(np.where(np.isnan(self.values), lost, self.values), axis=0), dtype=np.float64)

    def range(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest value over seeds, ``(logged,)`` each; nan as in ``centre``."""
        lost = np.inf if np.isfinite(self.diverged_at).any() else np.nan
        filled = np.where(np.isnan(self.values), lost, self.values)
        return filled.min(axis=0), filled.max(axis=0)

    def fate(self) -> str:
        """Say in a few words when it diverged; empty where no seed did."""
        when = self.diverged_at[np.isfinite(self.diverged_at)]
        if not len(when):
            return ""
        first = f"{when.min():,.0f}"
        if len(self.diverged_at) == 1:
            return f"diverged at update {first}"
        if len(when) == len(self.diverged_at):
            return f"all diverged, from {first} on"
        return f"{len(when)} of {len(self.diverged_at)} diverged, from {first} on"


@dataclass(frozen=True)
class Bound:
    """The rate-distortion function of the data."""

    rate: FloatArray  # (points,) bits per value, rising
    distortion: FloatArray  # (points,) squared error per value, falling
    values_per_frame: int = 30

    @property
    def bits(self) -> FloatArray:
        """Rate in bits per frame, ``(points,)``."""
        return self.rate * self.values_per_frame


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool

    def clipped(self, values: FloatArray) -> FloatArray:
        """Values held within the axis; of a stretch above it, only its first and last point are kept."""
        held = np.clip(values, self.low, self.high)
        above = np.concatenate([[False], held >= self.high, [False]])
        return np.where(above[:-2] & above[1:-1] & above[2:], np.nan, held)

    def fraction(self, value: float) -> float:
        """Height of a value on the axis, from 0 to 1."""
        ends = np.array([self.low, min(max(value, self.low), self.high), self.high])
        low, at, high = np.log(ends) if self.log else ends
        return float((at - low) / (high - low))


def mse_over_epochs(
    curves: Mapping[str, Curve],
    *,
    title: str = "Training MSE",
    updates_per_epoch: int | None = None,
    references: Mapping[str, float] | None = None,
    bound: Bound | None = None,
) -> Figure:
    """Draw the MSE per value over training, logarithmic; ``references`` are labelled lines, ``bound`` a right-hand axis."""
    references = references or {}
    everything = _finite(curves)
    top = 3 * max(references.values()) if references else _sensible_top(curves)
    positive = everything[everything > 0]
    low = max(_LOWEST_MSE, min([*positive, *references.values(), top / 10]) / 1.5)
    axis = _Axis(low, max(top, low * 10), log=True)
    return _over_epochs(curves, axis, title, "MSE per value", updates_per_epoch, references, bound)


def ma_e_over_epochs(
    curves: Mapping[str, Curve],
    *,
    title: str = "Mean absolute embedding",
    updates_per_epoch: int | None = None,
) -> Figure:
    """Draw the mean absolute value of the encoder's output over training."""
    return metric_over_epochs(curves, "MA-E", title=title, updates_per_epoch=updates_per_epoch)


def metric_over_epochs(
    curves: Mapping[str, Curve], metric: str, *, title: str = "", updates_per_epoch: int | None = None
) -> Figure:
    """Draw any metric over training; the axis is logarithmic where the values are positive and span a factor above 20."""
    everything = np.clip(_finite(curves), None, _sensible_top(curves))
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)
    log = low > 0 and high / low > 20
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    axis = _Axis(low / 1.3, high * 1.3, True) if log else _Axis(low - room if low < 0 else 0.0, high + room, False)
    return _over_epochs(curves, axis, title or metric, metric, updates_per_epoch, {}, None)


def rate_distortion(
    points: Mapping[str, tuple[FloatArray, FloatArray]],
    bound: Bound,
    *,
    title: str = "Rate and distortion of the hard quantizer",
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Draw each system's (bits per frame, MSE per value), ``(seeds,)`` each, above the bound: median, least and most."""
    centres = {name: (float(np.median(bits)), float(np.median(mse))) for name, (bits, mse) in points.items()}
    references = references or {}
    finite = [mse for _, mse in centres.values() if np.isfinite(mse) and mse > 0]
    low = max(_LOWEST_MSE, min([*finite, *references.values(), 1e-2]) / 2)
    axis = _Axis(low, 3 * max([*references.values(), float(bound.distortion.max())]), log=True)
    figure = Figure(figsize=(style.WIDTH, 3.6), dpi=style.DPI, facecolor="white")
    axes = style.axes_in_inches(figure, 0.62, 0.5, 4.6, 2.7)
    _dress(axes, axis, title, "MSE per value")
    most = max([float(bound.bits.max()), *(bits for bits, _ in centres.values() if np.isfinite(bits))])
    axes.set(xlim=(0, most * 1.06), xlabel="bits per frame (empirical entropy of the codes)")
    floor = np.maximum(bound.distortion, low)
    axes.fill_between(bound.bits, floor, low, color=style.GRID, linewidth=0, alpha=0.7)
    axes.plot(bound.bits, floor, color=style.INK, linewidth=style.LINE)
    axes.text(0.03, 0.05, "below R(D): out of reach", color=style.MUTED, fontsize=style.TEXT, transform=axes.transAxes)
    look = style.slots(list(points)) if len(points) <= MOST_LINES else {}
    named = set(look) or _best(centres)
    labels = _draw_references(axes, axis, references)
    for name, (bits, mse) in points.items():
        x, y = centres[name]
        if not np.isfinite(x):
            continue
        colour, _, marker = look.get(name, (style.ACCENT if name in named else style.OTHERS, "-", "o"))
        marker = marker if y < axis.high else "^"  # false for nan
        held = np.clip(np.nan_to_num(mse, nan=axis.high, posinf=axis.high), axis.low, axis.high)
        middle = float(np.median(held))
        spans = np.array([[x - bits.min(), bits.max() - x], [middle - held.min(), held.max() - middle]]).clip(0)
        axes.errorbar(
            x, middle, xerr=spans[0][:, None], yerr=spans[1][:, None], fmt=marker, color=colour, markersize=5.5,
            markeredgecolor="white", markeredgewidth=0.5, elinewidth=1, clip_on=False, zorder=4 if name in named else 3,
        )  # fmt: skip
        if name in named:
            text = f"{name}  {style.short(y)}, {x:.1f} bits"
            start = x / axes.get_xlim()[1]
            labels.append(style.Label(axis.fraction(middle), text, colour, "", start, marker if look else ""))
    style.label_column(axes, labels)
    return figure


def _best(centres: Mapping[str, tuple[float, float]], most: int = 8) -> set[str]:
    """Names of up to ``most`` systems that no other beats in both bits and MSE, the smallest MSE first."""
    front: list[str] = []
    for name, (bits, mse) in sorted(centres.items(), key=lambda item: (item[1][1], item[1][0])):
        if np.isfinite(bits) and np.isfinite(mse) and all(bits < centres[other][0] for other in front):
            front.append(name)
    return set(front[:most])


def _over_epochs(
    curves: Mapping[str, Curve],
    axis: _Axis,
    title: str,
    ylabel: str,
    updates_per_epoch: int | None,
    references: Mapping[str, float],
    bound: Bound | None,
) -> Figure:
    """Draw all curves in one panel, or each in its own where they are more than ``MOST_LINES``."""
    if not curves:
        raise ValueError(f"no system to draw in the figure {title!r}: give at least one curve")
    xlabel = f"epoch ({updates_per_epoch} updates)" if updates_per_epoch else "update"
    period = updates_per_epoch or 1
    last = max(float(curve.updates[-1]) for curve in curves.values()) / period
    end = last if last > 1 or not updates_per_epoch else 1.5
    draw = _in_one_panel if len(curves) <= MOST_LINES else _in_panels
    figure = draw(curves, axis, period, end, references, bound)
    first = figure.axes[0]
    figure.text(0.01, 1 - 0.1 / figure.get_figheight(), title, fontsize=style.TITLE, weight="bold", va="top")
    if len(curves) <= MOST_LINES:
        first.set_xlabel(xlabel, fontsize=style.TEXT)
        first.set_ylabel(ylabel, fontsize=style.TEXT)
    else:
        figure.supxlabel(xlabel, fontsize=style.TEXT, y=0.08 / figure.get_figheight(), va="bottom")
        figure.supylabel(ylabel, fontsize=style.TEXT, x=0.01)
    return figure


def _in_one_panel(
    curves: Mapping[str, Curve],
    axis: _Axis,
    period: int,
    end: float,
    references: Mapping[str, float],
    bound: Bound | None,
) -> Figure:
    figure = Figure(figsize=(style.WIDTH, 3.4), dpi=style.DPI, facecolor="white")
    axes = style.axes_in_inches(figure, 0.62, 0.5, 4.2 if bound else 4.6, 2.5)
    _scale(axes, axis, end)
    labels = _draw_references(axes, axis, references)
    for name, (colour, dashes, _) in style.slots(list(curves)).items():
        curve = curves[name]
        _draw(axes, curve, axis, period, colour, dashes)
        height = axis.fraction(float(np.nan_to_num(curve.centre()[-1], nan=axis.high, posinf=axis.high)))
        text = f"{name}  {style.short(_last(curve))}"
        start = float(curve.updates[-1]) / period / end
        labels.append(style.Label(height, text, colour, curve.fate(), min(start, 1.0)))
    style.label_column(axes, labels)
    if bound:
        _bits_axis(axes, axis, bound, outward=114)
    return figure


def _in_panels(
    curves: Mapping[str, Curve],
    axis: _Axis,
    period: int,
    end: float,
    references: Mapping[str, float],
    bound: Bound | None,
) -> Figure:
    columns, wide, high = 6, 0.94, 0.62
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(style.WIDTH, 0.95 + rows * (high + 0.24)), dpi=style.DPI, facecolor="white")
    order = sorted(curves, key=lambda name: float(np.nan_to_num(curves[name].centre()[-1], nan=np.inf)))
    for index, name in enumerate(order):
        row, column = divmod(index, columns)
        bottom = figure.get_figheight() - 0.68 - (row + 1) * (high + 0.24) + 0.2
        axes = style.axes_in_inches(figure, 0.58 + column * (wide + 0.12), bottom, wide, high)
        _scale(axes, axis, end)
        for other in order:
            _draw(axes, curves[other], axis, period, style.OTHERS, "-", faint=True)
        _draw_references(axes, axis, references)
        lost = bool(curves[name].fate())
        colour = style.WARNING if lost else style.ACCENT
        _draw(axes, curves[name], axis, period, colour, "-")
        value = style.short(_last(curves[name]))
        axes.text(0, 1.05, name, transform=axes.transAxes, fontsize=_fitting(name, value), color=style.INK)
        axes.text(1, 1.05, value, transform=axes.transAxes, fontsize=6, color=colour, ha="right")
        axes.tick_params(labelsize=6, labelleft=column == 0, labelbottom=index + columns >= len(order))
        axes.set_xticks([0, end], ["0", f"{end:g}"])
        if bound and (column == columns - 1 or index == len(order) - 1):
            _bits_axis(axes, axis, bound, outward=0, least=0.22)
    notes = ["blue: the system named above its panel, with its last value", "red: diverged", "grey: all others"]
    notes += [f"dashed: {name} ({value:g})" for name, value in references.items()]
    notes += ["right-hand axis: effective bits per frame"] * bool(bound)
    figure.text(
        0.01, 1 - 0.32 / figure.get_figheight(), "; ".join(notes), fontsize=6, color=style.MUTED, va="top", wrap=True
    )
    return figure
