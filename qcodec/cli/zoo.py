"""The command ``zoo``."""

import argparse
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcodec.cli.model import find_users_modules

if TYPE_CHECKING:
    from qcodec.quantizers.catalogue import Entry


def zoo(arguments: Sequence[str]) -> None:
    """Print every quantizer, estimator, codebook and rate allocator, or the named ones.

    Raises:
        ValueError: For a name that nothing has, or that belongs to something else.
    """
    parser = argparse.ArgumentParser(
        prog="qcodec zoo",
        description="List the quantizers, estimators, codebooks and rate allocators: what each is, where it was "
        "published, what it needs, and what it promises. `captured`: all seeds share one call, which a GPU captures as "
        "a CUDA graph; `file`: its codes can be written to a .qc file.",
    )
    parser.add_argument("name", nargs="*", help="list these alone; one of your own by its path, my_module.MyQuantizer")
    parser.add_argument("--markdown", action="store_true", help="print tables")
    options = parser.parse_args(arguments)

    from qcodec.quantizers.catalogue import FAMILIES, catalogue

    entries = [_find(name) for name in options.name] or catalogue()
    show = _table if options.markdown else _text
    parts = [show(name, [entry for entry in entries if entry.family == name]) for name in FAMILIES.values()]
    print("\n\n".join(part for part in parts if part))


def _find(name: str) -> "Entry":
    from qcodec.quantizers.catalogue import catalogue, entry_of

    module, _, last = name.rpartition(".")
    if not module:
        entry = next((entry for entry in catalogue() if entry.name.lower() == name.lower()), None)
        if entry is None:
            raise ValueError(f"{name!r} is nothing that `qcodec zoo` lists: name one of your own as my_module.{name}")
        return entry
    find_users_modules()
    try:
        found = getattr(importlib.import_module(module), last)
    except AttributeError as error:
        raise ValueError(str(error)) from None
    return entry_of(found)


def _text(family: str, entries: "Sequence[Entry]") -> str:
    lines = [f"{family}:"]
    for entry in entries:
        facts = [entry.source, "needs " + ", ".join(entry.needs) if entry.needs else "", ", ".join(entry.promises)]
        lines += [f"  {entry.name:<26} {entry.line}", f"  {'':<26} {' | '.join(filter(None, facts))}".rstrip()]
    return "\n".join(lines) if entries else ""


def _table(family: str, entries: "Sequence[Entry]") -> str:
    lines = [f"| {family} | | source | needs | promises |", "|---|---|---|---|---|"]
    for entry in entries:
        line = entry.line.replace("``", "`").replace("|", "\\|")
        needs, promises = ", ".join(entry.needs), ", ".join(entry.promises)
        lines.append(f"| `{entry.name}` | {line} | {entry.source} | {needs} | {promises} |")
    return "\n".join(lines) if entries else ""
