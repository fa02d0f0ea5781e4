"""Seeds of one system or codec that were trained in several runs, put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qcodec.runs.read import FloatArray, Run, Series


@dataclass(frozen=True)
class _Experiment:
    """What a result depends on."""

    settings: tuple[Any, ...]  # all but the seed
    seed: int | None  # of the whole run; None where the run tells its seeds apart itself


def pool_seeds(runs: Sequence[Run]) -> list[Run]:
    """Move every seed of a system to the first run that trained it with the same settings and other seeds.

    The settings are those of ``config.yaml``: the data's, the model's, and the system's own. A run of one codec has the
    seed ``seed_everything``. A run without a configuration stays as it is. Of runs of different lengths the steps that
    all have are kept.
    """
    pooled = list(runs)
    for at in range(len(pooled)):
        for system in pooled[at].systems:
            for before in range(at):
                if together := _together(pooled[before], pooled[at], system):
                    pooled[before], pooled[at] = together
                    break
    return pooled


def _together(first: Run, second: Run, system: str) -> tuple[Run, Run] | None:
    """Move a system's seeds from the second run to the first, where it is the same system with other seeds."""
    one, other = _experiment(first, system), _experiment(second, system)
    if one is None or other is None or one.settings != other.settings:
        return None
    ours, theirs = _series(first, system, one.seed), _series(second, system, other.seed)
    both = ours.keys() & theirs.keys()
    if not both or any(_seeds_meet(ours[metric], theirs[metric]) for metric in both):
        return None
    metrics = {metric: dict(by_system) for metric, by_system in first.metrics.items()}
    for metric in theirs:
        series = _joined(ours[metric], theirs[metric]) if metric in both else theirs[metric]
        metrics.setdefault(metric, {})[system] = series
    left = {
        metric: {name: series for name, series in by_system.items() if name != system}
        for metric, by_system in second.metrics.items()
    }
    return replace(first, metrics=metrics), replace(second, metrics=left)


def _series(run: Run, system: str, seed: int | None) -> dict[str, Series]:
    """Return the series of a system by metric; one without a seed's number has that of the run."""
    found = {metric: by_system[system] for metric, by_system in run.metrics.items() if system in by_system}
    numbered = {metric: replace(series, seeds=(seed,)) for metric, series in found.items() if seed is not None}
    return {metric: series if series.seeds else numbered.get(metric, series) for metric, series in found.items()}


def _seeds_meet(first: Series, second: Series) -> bool:
    return not first.seeds or not second.seeds or bool(set(first.seeds) & set(second.seeds))


def _joined(first: Series, second: Series) -> Series:
    """Put the seeds of two series in order, at the steps of both or, where they have none in common, at all of them."""
    steps = np.intersect1d(first.steps, second.steps)
    if not len(steps):
        steps = np.union1d(first.steps, second.steps)
    seeds = (*first.seeds, *second.seeds)
    order = np.argsort(seeds)
    values = np.concatenate([_at(first, steps), _at(second, steps)])
    return Series(steps, values[order], tuple(seeds[at] for at in order))


def _at(series: Series, steps: FloatArray) -> FloatArray:
    """Return the values at some steps, nan where nothing was logged."""
    values = np.full((len(series.values), len(steps)), np.nan)
    _, here, there = np.intersect1d(steps, series.steps, return_indices=True)
    values[:, here] = series.values[:, there]
    return values


def _experiment(run: Run, system: str) -> _Experiment | None:
    content = run.settings
    try:
        model, data = (dict(content[part]["init_args"]) for part in ("model", "data"))
        kinds = [content[part].get("class_path") for part in ("model", "data")]
        if "systems" in model:  # several systems and seeds in one run
            own = model.pop("systems")[system]
            return _Experiment((kinds, _without(model, "seed", "seeds"), own, data), None)
        seed = int(content["seed_everything"])
        return _Experiment((kinds, _without(model, "seed"), _without(data, "seed")), seed)
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _without(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
