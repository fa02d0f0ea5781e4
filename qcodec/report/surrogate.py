"""The report on surrogate codecs, and on runs of any other kind: mean square error, rate and distortion."""

from collections.abc import Iterator, Sequence

import numpy as np

from qcodec.figures.data import Bound, FloatArray
from qcodec.figures.final_values import final_values
from qcodec.figures.rate_distortion import Point, rate_distortion
from qcodec.report.parts import Drawn, Metrics, Row, Source, Table, curves_of, first_divergence
from qcodec.runs.read import Run

SUMMARY_COLUMNS = (
    "system", "seeds", "updates", "mse_mean", "mse_std", "hard_mse_mean", "ma_e_mean", "ma_e_std", "bits_per_frame",
    "effective_bits", "diverged_at",
)  # fmt: skip
_HEADINGS = {
    "system": "system", "seeds": "seeds", "updates": "updates", "hard_mse_mean": "hard&nbsp;MSE", "mse_mean": "MSE",
    "mse_std": "±&nbsp;MSE", "ma_e_mean": "MA&#8209;E", "ma_e_std": "±&nbsp;MA&#8209;E",
    "bits_per_frame": "bits per frame", "effective_bits": "effective bits", "diverged_at": "diverged at update",
}  # fmt: skip
_STRAIGHT_THROUGH = ("none", "sq_ste", "sq_ste_cl", "sq_ste_cl_120")
_ESTIMATORS = ("sq_ste_cl", "sq_mste", "sq_mste_cl", "na", "na_cl", "na_det", "na_det_cl")
_PAPER_FIGURES = {  # of arXiv 2502.04770
    "figure3": ("mse", _STRAIGHT_THROUGH),
    "figure4": ("ma_e", _STRAIGHT_THROUGH),
    "figure5": ("mse", _ESTIMATORS),
    "figure6": ("ma_e", _ESTIMATORS),
}
_METRICS = Metrics(
    names={"mse": "training MSE", "hard_mse": "hard MSE", "ma_e": "MA-E", "entropy_bits": "bits per frame"},
    titles={
        "mse": "Training MSE per value",
        "hard_mse": "MSE of the hard quantizer",
        "ma_e": "Mean absolute embedding",
        "entropy_bits": "Entropy of the codes",
    },
    hidden=("diverged_at", "bits_per_frame", "effective_bits"),  # seen in the other figures
    against_theory=("mse", "hard_mse"),
)


def summary(run: Run) -> Table:
    """Give one row for each system, means and standard deviations over seeds."""
    known = ("mse", "hard_mse", "ma_e", "bits_per_frame")
    systems = [name for name in run.systems if any(run.series(metric, name) for metric in known)]
    rows: list[Row] = []
    for system in systems or run.systems:
        logged = [by_system[system] for by_system in run.metrics.values() if system in by_system]
        row: dict[str, float | str | None] = {
            "system": system,
            "seeds": max(len(series.values) for series in logged),
            "updates": max(float(series.steps[-1]) for series in logged),
            "diverged_at": first_divergence(run, system),
        }
        for metric in (*known, "effective_bits"):
            series = run.series(metric, system)
            mean = f"{metric}_mean" if metric in ("mse", "hard_mse", "ma_e") else metric
            row[mean] = _mean(series.last) if series else None
            row[f"{metric}_std"] = _deviation(series.last) if series and len(series.last) > 1 else None
        rows.append({column: row[column] for column in SUMMARY_COLUMNS})
    return Table(SUMMARY_COLUMNS, _HEADINGS, rows, ("hard_mse_mean", "mse_mean"), ("mse", "hard_mse"), "MSE")


def draw(run: Run, runs: Sequence[Run]) -> Iterator[Drawn]:
    """Draw every figure that the logged metrics allow; ``runs`` are those that ``run`` holds side by side."""
    source = _source(runs)
    yield from _METRICS.each(run, source)
    for name, (metric, members) in _PAPER_FIGURES.items():
        every = curves_of(run, metric)
        curves = {system: every[system] for system in members if system in every}
        if len(curves) > 1:
            where = f", systems of Figure {name[-1]} in arXiv 2502.04770"
            yield _METRICS.drawn(name, run, metric, curves, source, where)
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
    settings = {_data_settings(run) for run in runs}
    only = settings.pop() if len(settings) == 1 else None
    surrogate = any(metric in run.metrics for run in runs for metric in ("mse", "hard_mse"))
    if only is None or not surrogate:
        return None
    from qcodec.data.rounded_gaussian import RoundedGaussian  # torch takes seconds to import

    levels, features = only
    source = RoundedGaussian(features=features, levels=levels)
    return Source(Bound(*(np.asarray(values) for values in source.rate_distortion())), dict(source.references()))


def _data_settings(run: Run) -> tuple[int, int] | None:
    """Read levels and features from a run's configuration; None where there is none or its data is of another kind."""
    content = run.settings
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict) or not str(data.get("class_path", "")).endswith("SyntheticBits"):
        return None
    settings = ((data.get("init_args") or {}).get("source") or {}).get("init_args") or {}
    return int(settings.get("levels", 4)), int(settings.get("features", 30))


def _mean(values: FloatArray) -> float:
    return float(np.mean(values)) if np.isfinite(values).all() else float(np.max(values))


def _deviation(values: FloatArray) -> float:
    return float(np.std(values, ddof=1)) if np.isfinite(values).all() else float("nan")
