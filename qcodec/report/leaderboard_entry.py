"""An entry of the leaderboard: a JSON file with what a system reached by seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qcodec.atomic_write import atomic_write
from qcodec.report.comparison import SOLVED
from qcodec.runs.read import FloatArray, Run

METRICS = ("hard_mse", "mse", "ma_e", "effective_bits", "entropy_bits", "bits_per_frame")
Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Entry:
    """What a system reached on the leaderboard's task.

    Attributes:
        name: Its name, that of its file too.
        system: Its settings, as in a recipe, with the schedule that it trained with.
        data: Settings of the data.
        source_bits: Entropy of a frame of the source, where R(D) ends.
        updates: Number of updates of each seed.
        seeds: Numbers of the seeds.
        values: By metric, the value of each seed at the end; ``None`` where it is no number.
        diverged_at: The update at which each seed diverged; ``None`` for never.
        curves: By metric, medians over the seeds at ``steps``; of the seeds that came first, where more came later.
        steps: Updates done at the points of the curves.
        tuning: By learning rate, held-out MSE of the seeds that the rate was chosen by; empty where none is told.
        made_by: Time, versions, commit and machine of the run.
        relative_time: Of an update, by that of a plain scalar quantizer in the same process; ``None`` if not measured.
    """

    name: str
    system: Mapping[str, Any]
    data: Any
    source_bits: float
    updates: int
    seeds: tuple[int, ...]
    values: Mapping[str, Values]
    diverged_at: Values
    curves: Mapping[str, Values]
    steps: tuple[float, ...]
    tuning: Mapping[str, Values]
    made_by: Mapping[str, str]
    relative_time: float | None = None

    def of(self, metric: str) -> FloatArray:
        """Return a metric of each seed, ``(seeds,)``, nan where it is no number."""
        return as_array(self.values[metric])

    @property
    def task(self) -> tuple[float, int, str]:
        """What entries must share to be held against each other: bits of a frame, updates, and source of the data."""
        drawn = {key: self.data["init_args"].get(key) for key in ("source", "rotation")}
        return round(self.bits, 1), self.updates, json.dumps(drawn, sort_keys=True)

    @property
    def bits(self) -> float:
        """Capacity of the codes of a frame, in bits."""
        return finite_median(self.of("bits_per_frame"))

    @property
    def carried(self) -> float:
        """Median over seeds of the effective bits; a seed whose MSE is no number carries none."""
        return float(np.median(np.nan_to_num(self.of("effective_bits"), nan=0.0)))

    @property
    def lost(self) -> float:
        """Bits per frame by which it misses R(D), in the median: what its codes could carry, less what they do."""
        return max(0.0, min(self.bits, self.source_bits) - self.carried)

    @property
    def merit(self) -> float:
        """Geometric mean over seeds of max(hard MSE, 1e-4); what is no number counts as 1."""
        return merit(self.values["hard_mse"])

    @property
    def half_way(self) -> float | None:
        """The first logged update with half the source's bits, in the median; ``None`` where it is not reached."""
        bits = self.curves["effective_bits"]
        return next(
            (s for s, b in zip(self.steps, bits, strict=True) if b is not None and b >= self.source_bits / 2), None
        )


def entries_of(run: Run, tuning: Mapping[str, Mapping[str, Sequence[float | None]]] | None = None) -> list[Entry]:
    """Return an entry for each system of a run of the surrogate codec.

    Args:
        run: With all seeds of its systems.
        tuning: By system and learning rate, held-out MSE of the seeds by which the rate was chosen.

    Raises:
        ValueError: For a run of another kind, without R(D), settings or seeds, or with none of a metric.
    """
    task = ((run.settings or {}).get("model") or {}).get("init_args") or {}
    if run.description.kind != "surrogate" or run.description.bound is None or not task.get("systems"):
        raise ValueError(f"{run.name} is no run of surrogate codecs on a source of known R(D), with its config.yaml")
    found = []
    for name, system in task["systems"].items():
        series = {metric: run.series(metric, name) for metric in METRICS}
        missing = [metric for metric, each in series.items() if each is None or not each.seeds]
        if missing:
            raise ValueError(f"{run.name} logged no {missing[0]} of {name} by seed: train it with seeds of 2 or more")
        known = {metric: each for metric, each in series.items() if each is not None}
        diverged = run.diverged(name)
        found.append(
            Entry(
                name=name,
                system=system | {"schedule": system.get("schedule") or task.get("schedule")},
                data=(run.settings or {})["data"],
                source_bits=max(run.description.bound.bits),
                updates=int(known["hard_mse"].steps[-1]),
                seeds=known["hard_mse"].seeds,
                values={metric: _plain(each.last) for metric, each in known.items()},
                diverged_at=_plain(diverged if len(diverged) else np.full(len(known["hard_mse"].seeds), np.nan)),
                curves={
                    metric: _plain(np.median(np.nan_to_num(known[metric].values, nan=worst, posinf=worst), axis=0))
                    for metric, worst in (("ma_e", np.inf), ("effective_bits", 0.0))
                },
                steps=tuple(map(float, known["hard_mse"].steps)),
                tuning={rate: tuple(values) for rate, values in (tuning or {}).get(name, {}).items()},
                made_by={key: told for key, told in run.description.made_by.items() if key != "command"},
            )
        )
    return found


def add(entries: Sequence[Entry], folder: Path) -> list[Path]:
    """Write a file for each entry; further seeds of an entry that is there join its own.

    Raises:
        ValueError: For an entry that is there with other settings or the same seeds; nothing is written then.
    """
    joined = [_joined(entry, folder / f"{entry.name}.json") for entry in entries]
    for entry in joined:
        with atomic_write(folder / f"{entry.name}.json") as file:
            file.write((json.dumps(asdict(entry), indent=1) + "\n").encode())
    return [folder / f"{entry.name}.json" for entry in joined]


def _joined(entry: Entry, path: Path) -> Entry:
    if not path.exists():
        return entry
    known = read_entry(path)
    for what in ("system", "data", "updates"):
        if json.loads(json.dumps(getattr(entry, what))) != getattr(known, what):
            raise ValueError(f"{path} has another {what} than {entry.name} of the run: name the system otherwise")
    if both := sorted(set(known.seeds) & set(entry.seeds)):
        raise ValueError(f"{path} has seed {both[0]} of {entry.name} already: train others, by model.init_args.seed")
    values = {metric: (*known.values[metric], *entry.values[metric]) for metric in METRICS}
    diverged = (*known.diverged_at, *entry.diverged_at)
    return replace(known, seeds=(*known.seeds, *entry.seeds), values=values, diverged_at=diverged)


def read_entry(path: Path) -> Entry:
    """Read the file of an entry.

    Raises:
        ValueError: For a file that is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("seeds", "diverged_at", "steps"):
            content[name] = tuple(content[name])
        for name in ("values", "curves", "tuning"):
            content[name] = {key: tuple(values) for key, values in content[name].items()}
        entry = Entry(**content)
        sizes = {len(entry.values[metric]) for metric in METRICS} | {len(entry.diverged_at), len(entry.seeds)}
        _ = entry.task  # what data lack raises here, not where entries are compared
        if len(sizes) > 1 or not entry.seeds:
            raise ValueError("its seeds and values differ in number")
        return entry
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no entry of the leaderboard ({error}): `qcodec leaderboard add` writes one"
        ) from None


def read_entries(folder: Path) -> list[Entry]:
    """Read all entries of a folder, best first.

    Raises:
        ValueError: Where there is none, or a file is no entry.
    """
    entries = [read_entry(path) for path in sorted(folder.glob("*.json"))]
    if not entries:
        raise ValueError(f"{folder} holds no entries: `qcodec leaderboard add RUN` writes them, --folder names another")
    return sorted(entries, key=lambda entry: (entry.merit, entry.name))


def merit(hard_mse: Sequence[float | None]) -> float:
    """Return the geometric mean of max(MSE, 1e-4), by which learning rates and entries are chosen; ``None`` is 1.

    Example:
        >>> round(merit([1e-9, None]), 4)
        0.01
    """
    held = np.maximum(np.nan_to_num(as_array(hard_mse), nan=1.0), SOLVED)
    return float(np.exp(np.log(held).mean()))


def as_array(values: Sequence[float | None]) -> FloatArray:
    """Return an array with nan for ``None``."""
    return np.array([np.nan if value is None else value for value in values])


def finite_median(values: FloatArray) -> float:
    """Return the median of what is finite; nan where nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _plain(values: FloatArray) -> Values:
    """Return numbers with six digits; ``None`` where one is not finite."""
    return tuple(float(f"{value:.6g}") if np.isfinite(value) else None for value in values)
