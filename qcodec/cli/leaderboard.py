"""The command ``leaderboard``."""

import argparse
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcodec.tasks.system import System


def leaderboard(arguments: Sequence[str]) -> None:
    """Add the systems of runs to the leaderboard, or write its page.

    Raises:
        ValueError: For a run that is none of surrogate codecs, an entry that is there otherwise, or no entries.
    """
    parser = argparse.ArgumentParser(
        prog="qcodec leaderboard",
        description="The leaderboard of quantizers and estimators: a JSON file for each entry.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="write an entry for each system of a run, or join more seeds to it")
    adding.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder that `qcodec fit` wrote")
    adding.add_argument(
        "--tuning", type=Path, metavar="JSON", help="by system and learning rate, the MSE of the seeds it was chosen by"
    )
    adding.add_argument("--folder", type=Path, default=Path("recipes/leaderboard/entries"), help="default: %(default)s")
    building = commands.add_parser("build", help="write the page, and the tables into the README beside the entries")
    building.add_argument("--folder", type=Path, default=Path("recipes/leaderboard"), help="default: %(default)s")
    building.add_argument("--output", type=Path, default=Path("leaderboard.html"), help="default: %(default)s")
    options = parser.parse_args(arguments)

    from qcodec.report.leaderboard import build
    from qcodec.report.leaderboard_entry import add, entries_of
    from qcodec.runs.read import read_run
    from qcodec.tasks.update_time import relative_times

    if options.command == "build":
        print(build(options.folder, options.output))
        return
    tuning = json.loads(options.tuning.read_text(encoding="utf-8")) if options.tuning else None
    for folder in options.runs:
        entries = entries_of(read_run(folder), tuning)
        times = relative_times(built({entry.name: entry.system for entry in entries}))
        timed = [replace(entry, relative_time=times[entry.name]) for entry in entries]
        print(*add(timed, options.folder), sep="\n")


def built(systems: Mapping[str, Mapping[str, Any]]) -> "dict[str, System]":
    """Return systems of their settings, as they stand in a recipe."""
    from jsonargparse import ArgumentParser

    from qcodec.tasks.system import System

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--systems", type=dict[str, System])
    made: dict[str, System] = parser.instantiate(parser.parse_object({"systems": copy.deepcopy(dict(systems))})).systems
    return made
