"""The recipes that a command line names: where they are, and whether their files can be read at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qcodec.runs.recipes import find_recipe, short_name
from qcodec.runs.schema import METRICS, read_description

_MOST_VALUES = 1_000_000  # of a recipe's settings


def find_recipes(arguments: Sequence[str]) -> tuple[list[str], str]:
    """Replace short names of recipes by paths; return the first one's name too, with those that go on top of it."""
    words: list[str] = []
    parts: list[str] = []
    rest = iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in ("--config", "-c"):
            value = value if equals else next(rest, "")
            if not value.startswith("{"):  # settings themselves, in JSON, as `qcodec.fit` passes them
                path = find_recipe(value)
                _check_yaml(path)
                if (path.parent / METRICS).is_file():
                    read_description(path.parent)  # raises for a run of an earlier version, whose settings differ
                parts.append(path.stem if parts else short_name(path))
                value = str(path)
            word = f"{flag}={value}"
        words.append(word)
    return words, "+".join(parts) or "unnamed"


def _check_yaml(path: Path) -> None:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        count = _values(settings, {})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply for settings, or holds itself by an alias") from None
    if count > _MOST_VALUES:
        raise ValueError(f"{path} stands for {count} values, with its aliases written out: give {_MOST_VALUES} at most")


def _values(settings: Any, known: dict[int, int]) -> int:
    """Count the values that settings stand for with aliases written out, without doing so."""
    if not isinstance(settings, dict | list):
        return 1
    if id(settings) not in known:
        parts = settings.values() if isinstance(settings, dict) else settings
        known[id(settings)] = sum(_values(part, known) for part in parts)
    return known[id(settings)]
