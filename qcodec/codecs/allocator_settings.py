"""Rate allocators as plain values in a weight file."""

import inspect
from collections.abc import Mapping
from typing import Any

from qcodec.quantizers.allocators import AllCodebooks, CodebookDropout, RateAllocator
from qcodec.quantizers.importance import ImportanceMask
from qcodec.quantizers.levels import LevelSampler, LogUniformLevels, UniformLevels

_KNOWN: dict[str, type] = {
    kind.__name__: kind for kind in (AllCodebooks, CodebookDropout, ImportanceMask, LogUniformLevels, UniformLevels)
}


def allocator_settings(allocator: RateAllocator) -> dict[str, Any]:
    """Give the class name and the constructor's arguments of an allocator, as numbers, strings, lists and dictionaries.

    Raises:
        ValueError: For an allocator, or a part of one, that is not of this project: its file could be read nowhere.

    Example:
        >>> allocator_settings(CodebookDropout(0.5))
        {'name': 'CodebookDropout', 'probability': 0.5}
    """
    return _settings(allocator)


def allocator_from(settings: Mapping[str, Any]) -> RateAllocator:
    """Build the allocator of its settings; only classes of this project are built.

    Raises:
        ValueError: For settings that no known allocator takes.

    Example:
        >>> allocator_from({"name": "CodebookDropout", "probability": 0.5}).probability
        0.5
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"a {type(settings).__name__} is no settings of an allocator: they are a dictionary")
    allocator = _built(settings)
    if not isinstance(allocator, RateAllocator):
        raise ValueError(f"a {type(allocator).__name__} is no rate allocator")
    return allocator


def _settings(part: object) -> dict[str, Any]:
    kind = type(part)
    if kind is not _KNOWN.get(kind.__name__):
        raise ValueError(
            f"{kind.__name__} has no name in a weight file: exchange it first, as in "
            "`codec.quantizer = codec.quantizer.with_allocator(AllCodebooks())`"
        )
    takes = inspect.signature(kind).parameters.values()
    names = [parameter.name for parameter in takes if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    return {"name": kind.__name__, **{name: _plain(getattr(part, name)) for name in names}}


def _plain(value: object) -> object:
    if isinstance(value, LevelSampler):
        return _settings(value)
    return list(value) if isinstance(value, tuple) else value


def _built(settings: Mapping[str, Any]) -> object:
    name = settings.get("name")
    if not isinstance(name, str) or name not in _KNOWN:
        raise ValueError(f"{name!r} is none of {', '.join(_KNOWN)}: a newer version may have written the file")
    arguments = {k: _built(v) if isinstance(v, Mapping) else v for k, v in settings.items() if k != "name"}
    try:
        return _KNOWN[name](**arguments)
    except TypeError as error:
        raise ValueError(f"the settings {arguments} do not fit {name}: {error}") from None
