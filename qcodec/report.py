"""A report on one or more runs: a table, figures and one page that holds both."""

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from qcodec import report_html
from qcodec.plot_data import Bound, Curve, FloatArray
from qcodec.plot_final import final_values
from qcodec.plot_rate import Point, rate_distortion
from qcodec.plots import over_epochs
from qcodec.runs import Run, read_run, side_by_side

SUMMARY_COLUMNS = (
    "system", "seeds", "updates", "mse_mean", "mse_std", "hard_mse_mean", "ma_e_mean", "ma_e_std", "bits_per_frame",
    "effective_bits", "diverged_at",
)  # fmt: skip
_STRAIGHT_THROUGH = ("none", "sq_ste", "sq_ste_cl", "sq_ste_cl_120")
_ESTIMATORS = ("sq_ste_cl", "sq_mste", "sq_mste_cl", "na", "na_cl", "na_det", "na_det_cl")
_PAPER_FIGURES = {  # of arXiv 2502.04770
    "figure3": ("mse", _STRAIGHT_THROUGH),
    "figure4": ("ma_e", _STRAIGHT_THROUGH),
    "figure5": ("mse", _ESTIMATORS),
    "figure6": ("ma_e", _ESTIMATORS),
}
_NAMES = {"mse": "training MSE", "hard_mse": "hard MSE", "ma_e": "MA-E", "entropy_bits": "bits per frame"}
_TITLES = {
    "mse": "Training MSE per value",
    "hard_mse": "MSE of the hard quantizer",
    "ma_e": "Mean absolute embedding",
    "entropy_bits": "Entropy of the codes",
}
_NOT_DRAWN = ("diverged_at", "bits_per_frame", "effective_bits")  # seen in the other figures


@dataclass(frozen=True)
class Source:
    """What theory says of the data: the bound and the reference lines."""

    bound: Bound
    references: dict[str, float]


@dataclass(frozen=True)
class Drawn:
    """A figure with the words below it."""

    name: str
    caption: str
    figure: Figure


def write_report(runs: Sequence[Path], output: Path) -> Path:
    """Write ``summary.csv``, ``figures/*.png`` and ``report.html`` on the given run folders into ``output``.

    Files are replaced one by one once all are made, so that the old report remains where anything fails.

    Args:
        runs: Run folders, each with ``metrics.csv`` and, if there, ``config.yaml``; may still be written.
        output: Folder of the report, made where it does not exist.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: Where there is no run, or one cannot be read; nothing is written then.
    """
    if not runs:
        raise ValueError("there is no run to report on: name one or more run folders")
    read = _distinct([read_run(Path(folder)) for folder in runs], runs)
    together = side_by_side(read, ", ".join(run.name for run in read))
    rows = summary(together)
    drawn = list(draw(together, _source(read)))
    pictures = {f"figures/{figure.name}.png": _png(figure.figure) for figure in drawn}
    captions = [(figure.name, figure.caption) for figure in drawn]
    page = report_html.page(together, rows, list(zip(captions, pictures.values(), strict=True)), read)
    for name, content in {"summary.csv": _csv(rows), **pictures, "report.html": page.encode()}.items():
        _replace(output / name, content)
    return output / "report.html"


def summary(run: Run) -> list[dict[str, float | str | None]]:
    """Give one row of ``SUMMARY_COLUMNS`` for each system, None for what was not logged."""
    known = ("mse", "hard_mse", "ma_e", "bits_per_frame")
    systems = [name for name in run.systems if any(run.series(metric, name) for metric in known)]
    rows: list[dict[str, float | str | None]] = []
    for system in systems or run.systems:
        logged = [by_system[system] for by_system in run.metrics.values() if system in by_system]
        diverged = run.diverged(system)
        row: dict[str, float | str | None] = {
            "system": system,
            "seeds": max(len(series.values) for series in logged),
            "updates": max(float(series.steps[-1]) for series in logged),
            "diverged_at": float(np.nanmin(diverged)) if np.isfinite(diverged).any() else None,
        }
        for metric in (*known, "effective_bits"):
            series = run.series(metric, system)
            mean = f"{metric}_mean" if metric in ("mse", "hard_mse", "ma_e") else metric
            row[mean] = _mean(series.last) if series else None
            row[f"{metric}_std"] = _deviation(series.last) if series and len(series.last) > 1 else None
        rows.append({column: row[column] for column in SUMMARY_COLUMNS})
    return rows


def draw(run: Run, source: Source | None) -> Iterator[Drawn]:
    """Draw every figure that the logged metrics allow."""
    order = [*(metric for metric in _NAMES if metric in run.metrics), *run.metrics]
    per_metric = {metric: _curves(run, metric) for metric in order if metric not in _NOT_DRAWN}
    for metric, curves in per_metric.items():
        if curves:
            name = re.sub(r"[^\w.-]+", "_", metric)
            yield Drawn(name, _caption(metric, curves, source), _over_epochs(run, metric, curves, source, ""))
    for name, (metric, members) in _PAPER_FIGURES.items():
        curves = {system: per_metric[metric][system] for system in members if system in per_metric.get(metric, {})}
        if len(curves) > 1:
            where = f", systems of Figure {name[-1]} in arXiv 2502.04770"
            yield Drawn(name, _caption(metric, curves, source, where), _over_epochs(run, metric, curves, source, where))
    last = {
        system: series.last for system, series in (run.metrics.get("mse") or run.metrics.get("hard_mse", {})).items()
    }
    if len(last) > 1:
        references = source.references if source else None
        figure = final_values(last, "MSE per value, last epoch", title="Where every seed ends", references=references)
        yield Drawn("final", "MSE of every seed at the last logged step, the best system first.", figure)
    points, left_out = _points(run)
    if points:
        note = (
            f"left out, as their codes have too many values for an entropy: {', '.join(left_out)}" if left_out else ""
        )
        figure = rate_distortion(
            points,
            source.bound if source else None,
            title="Rate and distortion on held-out data",
            note=note,
            references=source.references if source else None,
        )
        caption = (
            "MSE per value of the hard quantizer on held-out data against bits per frame: the entropy of the codes, "
            "or what they can carry at most where that was not logged. Large points: medians over seeds; dots: "
            "single seeds" + (f"; {note}." if note else ".")
        )
        yield Drawn("rate_distortion", caption, figure)


def _distinct(read: Sequence[Run], folders: Sequence[Path]) -> list[Run]:
    """Add the parent folder's name to the runs' names where two are alike."""
    names = [run.name for run in read]
    alike = [names.count(name) > 1 for name in names]
    parents = [Path(folder).resolve().parent.name for folder in folders]
    return [
        replace(run, name=f"{parent}/{run.name}") if twin else run
        for run, parent, twin in zip(read, parents, alike, strict=True)
    ]


def _curves(run: Run, metric: str) -> dict[str, Curve]:
    """Make the curves of those systems that logged the metric with at least one number, or diverged before they did."""
    curves = {}
    for system, series in run.metrics[metric].items():
        curve = Curve(series.steps, series.values, run.diverged(system))
        if np.isfinite(series.values).any() or curve.diverged or np.isinf(series.values).any():
            curves[system] = curve
    return curves


def _over_epochs(run: Run, metric: str, curves: Mapping[str, Curve], source: Source | None, where: str) -> Figure:
    against_theory = source if metric in ("mse", "hard_mse") else None
    return over_epochs(
        curves,
        _NAMES.get(metric, metric),
        title=_TITLES.get(metric, metric) + where,
        updates_per_epoch=run.updates_per_epoch,
        references=against_theory.references if against_theory else None,
        bound=against_theory.bound if against_theory else None,
    )


def _caption(metric: str, curves: Mapping[str, Curve], source: Source | None, where: str = "") -> str:
    most = max(len(curve.values) for curve in curves.values())
    text = _TITLES.get(metric, metric) + where
    text += f"; lines: median over seeds, bands: least to greatest of up to {most} seeds" if most > 1 else "; one seed"
    if any(curve.diverged for curve in curves.values()):
        text += "; a seed that has diverged counts as infinite once it is no number, arrow heads leave the axis"
    if source and metric in ("mse", "hard_mse"):
        text += "; right-hand axis: the least bits per frame that any codec needs for that MSE"
    return text + "."


def _points(run: Run) -> tuple[dict[str, Point], list[str]]:
    """Give rate and distortion of each system, and the names of those whose codes have too many values to count."""
    points, left_out = {}, []
    for system, hard in run.metrics.get("hard_mse", {}).items():
        nominal, entropy = run.series("bits_per_frame", system), run.series("entropy_bits", system)
        budget = float(np.median(nominal.last)) if nominal else float("nan")
        bits = entropy or nominal
        if bits is entropy and bits and not np.isfinite(bits.last).any():
            left_out.append(system)
        elif bits and np.isfinite(bits.last).all():
            points[system] = Point(bits.last, hard.last, budget)
    return points, left_out


def _source(runs: Sequence[Run]) -> Source | None:
    """Compute what theory says of the runs' data; None where it is not synthetic or the runs differ in it."""
    settings = {_data_settings(run.config) for run in runs}
    only = settings.pop() if len(settings) == 1 else None
    surrogate = any(metric in run.metrics for run in runs for metric in ("mse", "hard_mse"))
    if only is None or not surrogate:
        return None
    from qcodec.data.synthetic import SyntheticSource  # torch and lightning take seconds to import
    from qcodec.rate import rate_distortion_curve

    levels, features = only
    rate, distortion = (np.asarray(values) for values in rate_distortion_curve(levels))
    no_learning = SyntheticSource(features=features, levels=levels).no_learning_mse()
    references = {"zero information": float(distortion[0]), "no learning": no_learning}
    return Source(Bound(rate * features, distortion), references)


def _data_settings(config: str | None) -> tuple[int, int] | None:
    """Read levels and features from a run's configuration; None where there is none or its data is of another kind."""
    import yaml

    try:
        content: Any = yaml.safe_load(config or "")
    except yaml.YAMLError:
        content = None
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict) or not str(data.get("class_path", "")).endswith("SyntheticBits"):
        return None
    settings = data.get("init_args") or {}
    return int(settings.get("levels", 4)), int(settings.get("features", 30))


def _mean(values: FloatArray) -> float:
    return float(np.mean(values)) if np.isfinite(values).all() else float(np.max(values))


def _deviation(values: FloatArray) -> float:
    return float(np.std(values, ddof=1)) if np.isfinite(values).all() else float("nan")


def _csv(rows: Sequence[Mapping[str, float | str | None]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUMMARY_COLUMNS)
    for row in rows:
        writer.writerow([f"{cell:.8g}" if isinstance(cell, float | int) else cell for cell in row.values()])
    return text.getvalue().encode()


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place, then put it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
