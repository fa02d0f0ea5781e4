"""The table of a sweep's trials, ``sweep.csv``, and where their runs are."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qcodec.atomic_write import atomic_write

SWEEP = "sweep.json"  # says that a folder is a sweep's, and what is best in it
COLUMNS = ("trial", "ended", "value", "folder")


@dataclass(frozen=True)
class SweepTable:
    """Trials of a sweep.

    Attributes:
        metric: What is best, as runs name it.
        direction: ``minimize`` or ``maximize``.
        settings: Names of what varies.
        rows: A trial each: ``COLUMNS`` and the settings. ``ended`` is empty where all went well.
    """

    metric: str
    direction: str
    settings: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def values(self) -> list[float]:
        """Return what each trial came to, nan where nothing did."""
        return [float(row["value"]) if row["value"] else float("nan") for row in self.rows]


def write_sweep_table(
    folder: Path, rows: Sequence[Mapping[str, Any]], settings: Sequence[str], metric: str, direction: str
) -> None:
    """Write ``sweep.csv`` and ``sweep.json``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *settings], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    told = {"metric": metric, "direction": direction, "settings": list(settings)}
    for name, content in ((SWEEP, json.dumps(told, indent=1) + "\n"), ("sweep.csv", text.getvalue())):
        with atomic_write(folder / name) as file:
            file.write(content.encode())


def read_sweep_table(folder: Path) -> SweepTable:
    """Read them.

    Raises:
        ValueError: For a folder without a sweep, or a damaged one.
    """
    try:
        told = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
            rows = tuple(csv.DictReader(file))
        table = SweepTable(told["metric"], told["direction"], tuple(told["settings"]), rows)
        table.values()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no sweep that can be read ({error}): run `qcodec sweep` again") from None
    return table


def runs_of_sweep(folder: Path) -> list[Path]:
    """Return the run folders of a sweep's trials that ended and logged something, in their order."""
    rows = [row for row in read_sweep_table(folder).rows if row["ended"] in ("", "diverged") and row["folder"]]
    places = [folder / row["folder"] for row in rows]
    return [
        run for place in dict.fromkeys(places) for run in sorted(place.glob("[0-9]*/")) if (run / "run.json").is_file()
    ]
