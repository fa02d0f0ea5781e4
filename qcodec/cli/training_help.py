"""The help of ``fit``, ``validate``, ``test`` and ``predict``: a recipe's own settings, and Lightning's on request."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from qcodec.runs.recipes import claim, find_recipe

_USAGE = """\
usage: qcodec {command} --config RECIPE [--config MORE] [--run_dir DIR] [--ckpt_path CKPT] [--SETTING VALUE ...]

{what}
RECIPE is a short name, as `qcodec recipes` lists them, or the path of a YAML file; each further one goes on top.
A recipe is a program: it names classes, whose code runs. Use those of people whom you trust.

  --config RECIPE        what is trained, on what, and how
  --run_dir DIR          folder for all that is written; runs/RECIPE/0, 1, ... if left out
  --ckpt_path CKPT       checkpoint to {resume}
  --quiet                print nothing but warnings and errors
  --print_config         print all settings, with their defaults, as YAML
  --help.trainer         list every setting of Lightning's trainer
"""
_WHAT = {
    "fit": "Train, and write curves, checkpoints and settings into a folder.",
    "validate": "Measure a checkpoint on the validation data.",
    "test": "Measure a checkpoint on the test data.",
    "predict": "Write what a checkpoint makes of the test data.",
}


def wants_help(words: Sequence[str]) -> bool:
    """Return whether a command line asks for help that needs no parser."""
    return any(word in ("-h", "--help") for word in words)


def print_help(command: str, words: Sequence[str]) -> None:
    """Print how a command is used and, where recipes are named, each of their settings with its value.

    Raises:
        ValueError: For a recipe that there is not.
    """
    resume = "carry on from" if command == "fit" else "measure"
    print(_USAGE.format(command=command, what=_WHAT[command], resume=resume))
    for name in _named(words):
        path = find_recipe(name)
        print(f"{name}: {claim(path)}\n")
        for setting, value in settings_of_recipe(path):
            print(f"  --{setting} {value}")
        print()
    if not _named(words):
        print("With `--config RECIPE --help`: the settings of that recipe.")


def settings_of_recipe(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the value of each setting of a recipe, those of its fragments too."""
    yield from _flat(_resolved(yaml.safe_load(path.read_text(encoding="utf-8")), path.parent), "")


def _named(words: Sequence[str]) -> list[str]:
    found = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    return found + [after for word, after in pairwise(words) if word in ("--config", "-c")]


def _resolved(value: Any, folder: Path) -> Any:
    """Return settings with what the files that they name hold."""
    if isinstance(value, dict):
        return {name: _resolved(each, folder) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, folder) for each in value]
    if isinstance(value, str) and value.endswith(".yaml") and (folder / value).is_file():
        path = folder / value
        return _resolved(yaml.safe_load(path.read_text(encoding="utf-8")), path.parent)
    return value


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        classes = [each.get("class_path", "...") if isinstance(each, dict) else each for each in value]
        yield name, f"[{', '.join(map(str, classes))}]"
    else:
        yield name, "null" if value is None else str(value)
