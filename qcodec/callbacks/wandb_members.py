"""A W&B run for each system and seed of a fit, in one group, so that W&B's own grouping draws bands over seeds."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from qcodec.runs.schema import BY_SEED

_log = logging.getLogger(__name__)
Values = dict[str, float]


def by_member(metrics: Mapping[str, float]) -> tuple[Values, dict[tuple[str, int], Values]]:
    """Return what is logged of a fit as a whole, and what of each system and seed, by its metric's name.

    Example:
        >>> by_member({"epoch": 2, "mse/ste": 0.2, "by_seed/mse/ste/0": 0.1, "by_seed/mse/ste/1": 0.3})
        ({'epoch': 2, 'mse/ste': 0.2}, {('ste', 0): {'epoch': 2, 'mse': 0.1}, ('ste', 1): {'epoch': 2, 'mse': 0.3}})
    """
    whole: Values = {}
    members: dict[tuple[str, int], Values] = {}
    for name, value in metrics.items():
        if not name.startswith(BY_SEED):
            whole[name] = value
            continue
        metric, system, seed = name.removeprefix(BY_SEED).rsplit("/", 2)
        begun: Values = {"epoch": metrics["epoch"]} if "epoch" in metrics else {}
        members.setdefault((system, int(seed)), begun)[metric] = value
    return whole, members


def labels(settings: Mapping[str, Any], system: str | None = None) -> dict[str, Any]:
    """Return what runs are told apart by, from all settings of a fit: a system's quantizer, estimator, weights, seed.

    Example:
        >>> ste = {"class_path": "qcodec.STE"}
        >>> quantizer = {"class_path": "qcodec.ScalarQuantizer", "init_args": {"estimator": ste}}
        >>> model = {"init_args": {"systems": {"ste": {"quantizer": quantizer, "losses": {"commitment": 0.1}}}}}
        >>> labels({"model": model}, "ste")
        {'system': 'ste', 'quantizer': 'ScalarQuantizer', 'estimator': 'STE', 'losses': {'commitment': 0.1}}
    """
    model = _of(_of(settings, "model"), "init_args")
    own = model if system is None else _of(_of(model, "systems"), system)
    found: dict[str, Any] = {} if system is None else {"system": system}
    if system is None and "systems" in model:
        return found
    for name in ("quantizer", "estimator", "allocator", "codec"):
        path = next(_class_paths(own, name), None)
        found |= {name: path.rpartition(".")[2]} if path else {}
    for name, value in (("losses", own.get("losses")), ("schedule", own.get("schedule", model.get("schedule")))):
        found |= {name: value} if value else {}
    for part in ("data", "trainer"):
        found |= {part: settings[part]} if settings.get(part) else {}
    seed = settings.get("seed_everything")
    return found | ({"seed": seed} if system is None and seed is not None else {})


def _of(settings: Any, name: str) -> Mapping[str, Any]:
    value = settings.get(name) if isinstance(settings, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _class_paths(settings: Any, name: str) -> Iterator[str]:
    """Yield the class paths that stand under a name at any depth, the outermost first."""
    if isinstance(settings, list):
        for each in settings:
            yield from _class_paths(each, name)
    elif isinstance(settings, Mapping):
        if path := _of(settings, name).get("class_path"):
            yield str(path)
        for value in settings.values():
            yield from _class_paths(value, name)


class Members:
    """The W&B runs of a fit's systems and seeds.

    Args:
        init: Arguments of ``wandb.init`` for the fit's own run.
        group: Group of them all.
        most: Number of them beyond which there are none.
    """

    def __init__(self, init: Mapping[str, Any], group: str, most: int) -> None:
        self._init, self._group, self._most = dict(init), group, most
        self._runs: dict[tuple[str, int], Any] = {}
        self._left_out = False
        self.settings: Mapping[str, Any] = {}

    def log(self, members: Mapping[tuple[str, int], Values], step: int | None) -> None:
        """Log to each system's and seed's run, which begins when it is first logged to."""
        if len(members) > self._most and not self._left_out:
            _log.warning(
                "W&B gets the means of %d systems and seeds alone, more than most_runs=%d: each is in metrics.csv",
                len(members), self._most,
            )  # fmt: skip
        self._left_out = self._left_out or len(members) > self._most
        if self._left_out:
            return
        for (system, seed), values in members.items():
            run = self._runs.get((system, seed)) or self._begin(system, seed)
            run.log({**values, "trainer/global_step": step or 0})

    def _begin(self, system: str, seed: int) -> Any:
        import wandb

        run = wandb.init(
            **{
                **self._init,
                "id": f"{self._init['id']}-{system}-{seed}",
                "name": f"{system} {seed}",
                "group": self._group,
                "job_type": "system and seed",
                "tags": [*(self._init.get("tags") or []), system, f"seed {seed}"],
                "config": {**labels(self.settings, system), "system": system, "seed": seed},
                "reinit": "create_new",
            }
        )
        run.define_metric("*", step_metric="trainer/global_step")
        self._runs[system, seed] = run
        return run

    def finish(self, exit_code: int) -> None:
        """End them all."""
        while self._runs:
            self._runs.popitem()[1].finish(exit_code=exit_code)
