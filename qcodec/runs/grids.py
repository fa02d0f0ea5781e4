"""Grids of systems: estimators, losses, schedules and other settings crossed with each other, written once each."""

from collections.abc import Mapping
from copy import deepcopy
from itertools import product
from typing import Any


def expand_grids(settings: Any) -> Any:
    """Return plain settings in which every ``grid`` under ``systems`` is replaced by the systems that it stands for.

    A grid, or each of a list of grids, has ``axes`` and may have a ``base``, the settings of a system that all share.
    An axis is a setting of a system, dotted where it lies deeper, with its values by name. A system is named by the
    names of its values, joined by ``_``; an empty name adds nothing. The last axis runs fastest.

    Raises:
        ValueError: For a grid that cannot be expanded; the message names the axis and the value.

    Example:
        >>> axes = {"quantizer": {"ste": "ste.yaml", "mste": "mste.yaml"}, "embedding": {"": 30, "f24": 24}}
        >>> list(expand_grids({"systems": {"grid": {"axes": axes}}})["systems"])
        ['ste', 'ste_f24', 'mste', 'mste_f24']
    """
    if isinstance(settings, list):
        return [expand_grids(value) for value in settings]
    if not isinstance(settings, dict):
        return settings
    expanded = {key: expand_grids(value) for key, value in settings.items()}
    if isinstance(systems := expanded.get("systems"), dict) and "grid" in systems:
        expanded["systems"] = _with_grids_expanded(systems)
    return expanded


def _with_grids_expanded(systems: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in systems.items():
        if key == "grid":
            grids = value if isinstance(value, list) and value else [value]
            named = [pair for grid in grids for pair in _systems(grid)]
        else:
            named = [(key, value)]
        for name, system in named:
            if name in result:
                raise ValueError(f"systems.grid: two systems are named {name!r}: rename a value of an axis")
            result[name] = system
    return result


def _systems(grid: Any) -> list[tuple[str, dict[str, Any]]]:
    axes, base = _parts(grid)
    named = []
    for values in product(*(axis.items() for axis in axes.values())):
        system = deepcopy(base)
        for setting, (name, value) in zip(axes, values, strict=True):
            _put(system, setting, name, deepcopy(value))
        named.append(("_".join(name for name, _ in values if name), system))
    return named


def _parts(grid: Any) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the axes and the base of a grid, checked."""
    if not isinstance(grid, dict) or not isinstance(axes := grid.get("axes"), dict) or not axes:
        raise ValueError("systems.grid: has no `axes`: name settings of a system, each with its values by name")
    if unknown := set(grid) - {"axes", "base"}:
        raise ValueError(f"systems.grid: there is no setting {min(map(str, unknown))!r}: choose one of axes, base")
    if not isinstance(base := grid.get("base", {}), dict):
        raise ValueError(f"systems.grid.base: {base!r} is no mapping: write settings of a system")
    for position, (setting, values) in enumerate(axes.items()):
        if not isinstance(setting, str):
            raise ValueError(f"systems.grid.axes: {setting!r} is no setting of a system: choose one, such as losses")
        if not isinstance(values, dict) or not values:
            raise ValueError(f"systems.grid.axes.{setting}: {values!r} is no axis: write its values by name")
        for name in values:
            if not isinstance(name, str):
                raise ValueError(f"systems.grid.axes.{setting}: the name {name!r} is no text: write it in quotes")
        for earlier in list(axes)[:position]:
            if earlier.startswith(f"{setting}."):
                raise ValueError(f"systems.grid.axes.{setting}: replaces what {earlier} has set: name it before that")
    return axes, base


def _put(system: dict[str, Any], setting: str, name: str, value: Any) -> None:
    """Set a dotted setting of a system; ``name`` is that of the value."""
    *parents, last = setting.split(".")
    for parent in parents:
        inner = system.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ValueError(
                f"systems.grid.axes.{setting}: {name!r} cannot be set inside {parent}, which is {inner!r}: "
                "write that out in the base"
            )
        system = inner
    system[last] = value
