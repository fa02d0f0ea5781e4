"""Reading anybody's offline W&B runs: curves by system and seed, without an account."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qcodec.runs.read import Run, Series
from qcodec.runs.schema import RunDescription

_STEPS = ("trainer/global_step", "global_step", "_step")  # what counts updates, the first that a run logged
_SEEDS = ("seed", "seed_everything", "random_seed", "manual_seed")
_OF_THE_RUN = ("_wandb", "trainer", "version", "id")  # settings that do not make another system


@dataclass
class _Offline:
    """One W&B run, from all its parts."""

    id: str
    name: str = ""
    group: str = ""
    job: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)

    @property
    def seed(self) -> int | None:
        found = next((self.config[name] for name in _SEEDS if isinstance(self.config.get(name), int)), None)
        return None if found is None else int(found)

    @property
    def settings(self) -> dict[str, str]:
        """Flat settings without the seed, as text."""
        kept = {name: value for name, value in self.config.items() if name not in _OF_THE_RUN}
        return {name: value for name, value in _flat(kept) if name.rpartition(".")[2] not in _SEEDS}


def offline_files(folder: Path) -> list[Path]:
    """Return the files of W&B's offline runs in a folder: one run's, or a ``wandb`` folder with several.

    A folder of qcodec's own is none, though it has such files: its tables say more.
    """
    places = [folder.glob("run-*.wandb"), folder.glob("*run-*/run-*.wandb")]
    return sorted(path for place in places for path in place)


def read_offline(files: Sequence[Path], name: str = "W&B") -> Run:
    """Read offline W&B runs and group them: runs of the same settings but the seed are one system.

    A system is called by its setting ``system``, else by the settings in which it differs from others, else by the
    name of its first run. Curves are numbers that were logged, over updates where these were logged too.

    Raises:
        ValueError: For a file that is damaged at its start, or runs that logged no number.
    """
    runs = _without_fits(_read(files))
    systems: dict[str, list[_Offline]] = {}
    for run in runs:
        systems.setdefault(json.dumps(run.settings, sort_keys=True), []).append(run)
    metrics: dict[str, dict[str, Series]] = {}
    for label, members in zip(_labels(list(systems.values())), systems.values(), strict=True):
        for metric in dict.fromkeys(key for run in members for row in run.rows for key in row):
            if metric not in _STEPS and not metric.startswith("_") and metric != "epoch":
                metrics.setdefault(metric, {})[label] = _series(members, metric)
    if not metrics:
        raise ValueError(f"no numbers were logged in the W&B runs of {files[0].parent if files else name}")
    return Run(name, metrics, description=RunDescription("other", spread="standard error"))


def _read(files: Sequence[Path]) -> list[_Offline]:
    found: dict[str, _Offline] = {}
    for path in files:
        run = _Offline(path.stem.removeprefix("run-"))
        for kind, record in _records(path):
            if kind == "run":
                run = found.setdefault(record.run.run_id, _Offline(record.run.run_id))
                run.name, run.group, run.job = record.run.display_name, record.run.run_group, record.run.job_type
                run.config |= _config(record.run.config.update)
            elif kind == "config":
                run.config |= _config(record.config.update)
            elif kind == "history":
                run.rows.append(dict(_numbers(record.history.item)))
    return [run for run in found.values() if any(run.rows)]


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the records of a file; one that was cut off ends it."""
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    with closing(DataStore()) as store:
        try:
            store.open_for_scan(str(path))  # type: ignore[no-untyped-call]
        except Exception as error:
            raise ValueError(f"{path} is no file of an offline W&B run: {error}") from error
        while True:
            try:
                data = store.scan_data()  # type: ignore[no-untyped-call]
            except Exception:  # of a run that is still going on, or was killed
                return
            if data is None:
                return
            record = Record.FromString(data)
            yield record.WhichOneof("record_type") or "", record


def _config(items: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def _numbers(items: Any) -> Iterator[tuple[str, float]]:
    for item in items:
        value = json.loads(item.value_json)
        value = float(value) if value in ("NaN", "Infinity", "-Infinity") else value
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield "/".join(item.nested_key) or item.key, float(value)


def _without_fits(runs: list[_Offline]) -> list[_Offline]:
    """Leave out the run of a fit as a whole where its systems and seeds have runs of their own."""
    apart = {run.group for run in runs if run.job == "system and seed"}
    return [run for run in runs if run.job != "fit" or run.group not in apart]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in sorted(settings.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _labels(systems: Sequence[Sequence[_Offline]]) -> list[str]:
    """Return a name for each system, no two alike."""
    settings = [members[0].settings for members in systems]
    names = list(dict.fromkeys(name for each in settings for name in each))
    differing = [name for name in names if len({each.get(name) for each in settings}) > 1]
    labels: list[str] = []
    for members, each in zip(systems, settings, strict=True):
        told = ", ".join(f"{name.rpartition('.')[2]}={each[name]}" for name in differing if name in each)
        label = str(members[0].config.get("system") or told or members[0].name or members[0].id)
        labels.append(label if label not in labels else f"{label} ({members[0].id})")
    return labels


def _series(members: Sequence[_Offline], metric: str) -> Series:
    curves = [dict(_curve(run, metric)) for run in members]
    steps = np.array(sorted({step for curve in curves for step in curve}), dtype=np.float64)
    values = np.array([[curve.get(step, np.nan) for step in steps] for curve in curves], dtype=np.float64)
    seeds = [run.seed for run in members]
    distinct = None not in seeds and len(set(seeds)) == len(seeds)
    numbers = tuple(seed for seed in seeds if seed is not None) if distinct else tuple(range(len(members)))
    order = np.argsort(numbers)
    return Series(steps, values[order], tuple(numbers[at] for at in order))


def _curve(run: _Offline, metric: str) -> Iterator[tuple[float, float]]:
    step = next((name for name in _STEPS if any(name in row for row in run.rows)), None)
    for index, row in enumerate(run.rows):
        if metric in row:
            yield row.get(step, float(index)) if step else float(index), row[metric]
