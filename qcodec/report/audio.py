"""The report on audio codecs: mel loss, embedding and bitrate."""

from collections.abc import Iterator, Sequence

import numpy as np

from qcodec.figures.curves import MOST_LINES
from qcodec.figures.mel_and_embedding import mel_and_embedding
from qcodec.report.parts import Drawn, Metrics, Row, Table, curves_of, fate, first_divergence
from qcodec.runs.read import Run

METRIC = "mel"  # what tells a run of this kind
_HEADINGS = {
    "system": "run", "seeds": "seeds", "updates": "updates", "val_mel": "mel, held out",
    "val_mel_std": "±&nbsp;mel, held out", "mel": "mel", "ma_e": "MA&#8209;E",
    "ma_e_projected": "MA&#8209;E projected", "val_kbps": "kbps, held out", "kbps": "kbps",
    "codebook_usage": "codebook usage", "codebook_entropy_bits": "bits per code", "encoder_gain": "encoder gain",
    "grad_norm": "gradient norm", "diverged_at": "diverged at update",
}  # fmt: skip
SUMMARY_COLUMNS = tuple(_HEADINGS)
_METRICS = Metrics(
    names={
        "mel": "mel loss", "val_mel": "mel loss", "ma_e": "MA-E", "ma_e_projected": "MA-E", "mse": "MSE per sample",
        "waveform": "mean absolute difference", "kbps": "kbit/s", "codebook_usage": "share of codes in use",
        "codebook_entropy_bits": "bits per code", "grad_norm": "gradient norm", "encoder_gain": "encoder gain",
    },
    titles={
        "mel": "Mel loss in training", "val_mel": "Mel loss on held-out clips", "ma_e": "Mean absolute embedding",
        "ma_e_projected": "Mean absolute embedding in the codebooks' space", "mse": "MSE of the waveform",
        "waveform": "Distance of the waveform", "kbps": "Bitrate", "codebook_usage": "Codebook usage",
        "codebook_entropy_bits": "Entropy of the codes", "grad_norm": "Norm of the gradient before clipping",
        "encoder_gain": "Gain of the encoder's gradient",
    },
    hidden=("diverged_at",),
)  # fmt: skip


def summary(run: Run) -> Table:
    """Give one row for each run: what it logged last, as a mean over seeds where several runs have one each."""
    rows: list[Row] = []
    for system in run.systems:
        series = {metric: run.series(metric, system) for metric in run.metrics}
        logged = {metric: values for metric, values in series.items() if values}
        row: dict[str, float | str | None] = dict.fromkeys(SUMMARY_COLUMNS)
        row |= {metric: float(np.mean(logged[metric].last)) for metric in SUMMARY_COLUMNS if metric in logged}
        row |= {"system": system, "updates": max(float(values.steps[-1]) for values in logged.values())}
        row["seeds"] = max(len(values.values) for values in logged.values())
        if "val_mel" in logged and len(logged["val_mel"].values) > 1:
            row["val_mel_std"] = float(np.std(logged["val_mel"].last, ddof=1))
        rows.append(row | {"diverged_at": first_divergence(run, system)})
    return Table(SUMMARY_COLUMNS, _HEADINGS, rows, ("val_mel", "mel"), (METRIC,), "mel loss")


def draw(run: Run, runs: Sequence[Run]) -> Iterator[Drawn]:
    """Draw Figure 8 of arXiv 2502.04770 and one figure of each metric; ``run`` holds ``runs`` side by side."""
    over_updates = Run(run.name, run.metrics)  # epochs of audio runs differ in length
    mel, ma_e = curves_of(run, METRIC), curves_of(run, "ma_e")
    if mel and max(len(mel), len(ma_e)) <= MOST_LINES:
        title = "Mel loss and mean absolute embedding in training"
        stopped = any(curve.diverged for curve in mel.values())
        note = "each point is a mean over the updates since the one before"
        note += "; cross: diverged and stopped" if stopped else ""
        figure = mel_and_embedding(mel, ma_e, title=title, note=note)
        yield Drawn("figure8", f"{title}, as Figure 8 of arXiv 2502.04770{fate(mel)}.", figure)
    yield from _METRICS.each(over_updates)
