"""Seeds of one system that were trained in several runs, put together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qcodec.runs import Run, Series


def pool_seeds(runs: Sequence[Run]) -> list[Run]:
    """Give every seed of a system to the first run that trained it with the same settings and other seeds.

    The settings are those of ``config.yaml``: the data's, the model's, and the system's own. A run without one, or one
    that logged no values by seed, stays as it is. Of runs of different lengths the steps that all have are kept.
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
    settings = _settings(first.config, system)
    if settings is None or settings != _settings(second.config, system):
        return None
    ours, theirs = (
        {metric: by_system[system] for metric, by_system in run.metrics.items() if system in by_system}
        for run in (first, second)
    )
    if ours.keys() != theirs.keys() or any(_seeds_meet(ours[metric], theirs[metric]) for metric in ours):
        return None
    metrics = {metric: dict(by_system) for metric, by_system in first.metrics.items()}
    for metric in ours:
        metrics[metric][system] = _joined(ours[metric], theirs[metric])
    left = {
        metric: {name: series for name, series in by_system.items() if name != system}
        for metric, by_system in second.metrics.items()
    }
    return replace(first, metrics=metrics), replace(second, metrics=left)


def _seeds_meet(first: Series, second: Series) -> bool:
    return not first.seeds or not second.seeds or bool(set(first.seeds) & set(second.seeds))


def _joined(first: Series, second: Series) -> Series:
    steps, ours, theirs = np.intersect1d(first.steps, second.steps, return_indices=True)
    values = np.concatenate([first.values[:, ours], second.values[:, theirs]])
    seeds = (*first.seeds, *second.seeds)
    order = np.argsort(seeds)
    return Series(steps, values[order], tuple(seeds[at] for at in order))


def _settings(config: str | None, system: str) -> tuple[Any, ...] | None:
    """Read what a system's result depends on besides its seed."""
    import yaml

    try:
        content: Any = yaml.safe_load(config or "")
        model = dict(content["model"]["init_args"])
        own = model.pop("systems")[system]
    except (yaml.YAMLError, TypeError, KeyError):
        return None
    shared: Mapping[str, Any] = {name: value for name, value in model.items() if name not in ("seed", "seeds")}
    return content["model"].get("class_path"), shared, own, content.get("data")
