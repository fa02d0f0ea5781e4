"""What a sweep is: recipes, the settings that vary, and what is best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

Sampler = Literal["grid", "random", "tpe"]
Direction = Literal["minimize", "maximize"]
_KEYS = ("config", "set", "search", "metric", "direction", "sampler", "trials", "seeds")


@dataclass(frozen=True)
class Axis:
    """One setting that varies.

    Attributes:
        setting: Its dotted name in the recipe.
        choices: Values by name; ``None`` for a range.
        low: Lower end of a range.
        high: Upper end.
        log: Whether the range is searched by logarithm.
    """

    setting: str
    choices: Mapping[str, Any] | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def name(self) -> str:
        """The last part of the setting's name, by which trials are called."""
        return self.setting.rpartition(".")[2]


@dataclass(frozen=True)
class Sweep:
    """A search.

    Attributes:
        config: Recipes, each further one on top.
        fixed: Settings by dotted name that every trial has.
        axes: Those that vary.
        metric: What is best, as a run names it: ``hard_mse/SYSTEM``, or ``val_mel`` of a codec.
        direction: Whether less of it is better.
        sampler: How settings are chosen.
        trials: Number of them; ``None`` for all of a grid.
        seeds: Of ``seed_everything`` and of the model's and the data's own ``seed``, each a fit of its own; empty for
            one fit a trial, which may have several seeds.
    """

    config: tuple[str, ...]
    fixed: Mapping[str, Any]
    axes: tuple[Axis, ...]
    metric: str
    direction: Direction = "minimize"
    sampler: Sampler = "tpe"
    trials: int | None = None
    seeds: tuple[int, ...] = ()


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's YAML file.

    Raises:
        ValueError: For what is none, with the key and the remedy.
        OSError: Where it cannot be opened.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())[:200]}") from None
    try:
        return _sweep(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _sweep(content: Any) -> Sweep:
    if not isinstance(content, Mapping) or not isinstance(content.get("search"), Mapping) or not content["search"]:
        raise ValueError("a sweep has keys config, search (values or a range by setting) and metric")
    for key in content:
        if key not in _KEYS:
            raise ValueError(f"there is no key {key!r}: choose of {', '.join(_KEYS)}")
    config = content.get("config")
    config = [config] if isinstance(config, str) else config
    if not isinstance(config, list) or not all(isinstance(each, str) for each in config) or not config:
        raise ValueError("config must name one or more recipes")
    if not isinstance(content.get("metric"), str):
        raise ValueError("metric must name what is best, such as hard_mse/SYSTEM or val_mel")
    fixed = content.get("set") or {}
    if not isinstance(fixed, Mapping):
        raise ValueError("set must be settings by dotted name")
    axes = tuple(_axis(str(setting), values) for setting, values in content["search"].items())
    ranges = [axis.setting for axis in axes if axis.choices is None]
    sampler = content.get("sampler", "tpe" if ranges else "grid")
    direction = content.get("direction", "minimize")
    for name, value, kinds in (("sampler", sampler, Sampler), ("direction", direction, Direction)):
        if value not in get_args(kinds):
            raise ValueError(f"{name} {value!r}: choose of {', '.join(get_args(kinds))}")
    if sampler == "grid" and ranges:
        raise ValueError(f"{ranges[0]} is a range, which no grid has: list its values, or take another sampler")
    trials = content.get("trials")
    if trials is None and sampler != "grid":
        raise ValueError(f"sampler {sampler} needs a number of trials")
    if trials is not None and (not isinstance(trials, int) or isinstance(trials, bool) or trials < 1):
        raise ValueError(f"trials {trials!r} must be 1 or more")
    seeds = content.get("seeds") or []
    if not isinstance(seeds, list) or any(not isinstance(seed, int) or seed < 0 for seed in seeds):
        raise ValueError("seeds must be a list of numbers, 0 or more")
    return Sweep(tuple(config), dict(fixed), axes, content["metric"], direction, sampler, trials, tuple(seeds))


def _axis(setting: str, values: Any) -> Axis:
    if isinstance(values, Sequence) and not isinstance(values, str) and values:
        names = [_named(value) for value in values]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{setting} has {twice} twice: give its values names, as a mapping of name to value")
        return Axis(setting, dict(zip(names, values, strict=True)))
    if isinstance(values, Mapping) and "class_path" in values:
        raise ValueError(f"{setting} is one class: give a list, or values by name")
    if isinstance(values, Mapping) and {"from", "to"} <= set(values) <= {"from", "to", "log"}:
        low, high, log = _number(values["from"]), _number(values["to"]), bool(values.get("log"))
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (low, high))
        if not numbers or not low < high or (log and not low > 0):
            raise ValueError(f"{setting} from {low} to {high} is no range: let it rise, above 0 where log is true")
        return Axis(setting, None, low, high, log)
    if isinstance(values, Mapping) and values:
        return Axis(setting, {str(name): value for name, value in values.items()})
    raise ValueError(
        f"{setting} needs a list of values, values by name, or a range: {{from: 1e-4, to: 1e-2, log: true}}"
    )


def _number(value: Any) -> Any:
    """Return what YAML takes for a word, such as 1e-4, as a number where it is one."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _named(value: Any) -> str:
    if isinstance(value, Mapping) and "class_path" in value:
        return str(value["class_path"]).rpartition(".")[2]
    return "null" if value is None else str(value)


def with_settings(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe with other values under some dotted names.

    Raises:
        ValueError: For a name that leads nowhere, with what there is.

    Example:
        >>> with_settings({"model": {"rate": 1, "size": 2}}, {"model.rate": 5})
        {'model': {'rate': 5, 'size': 2}}
    """
    changed = dict(base)
    for name, value in settings.items():
        _put(changed, name.split("."), value, name)
    return changed


def _put(base: dict[str, Any], parts: Sequence[str], value: Any, name: str) -> None:
    """Put a value into settings, whose parts are copied on the way."""
    head, *rest = parts
    if not rest:
        base[head] = value
        return
    if not isinstance(base.get(head), Mapping):
        there = "it has no parts" if head in base else f"there are {', '.join(map(str, base))}"
        raise ValueError(f"the setting {name} leads nowhere at {head!r}: {there}")
    base[head] = dict(base[head])
    _put(base[head], rest, value, name)
