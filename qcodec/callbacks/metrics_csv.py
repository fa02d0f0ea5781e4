"""A ``metrics.csv`` that survives crash and resume."""

import csv
import io
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from qcodec.atomic_write import atomic_write
from qcodec.runs.schema import INDEX, METRICS


class MetricsCSV(Logger):
    """Writes a table with one row per step and one column per metric, whole after every call.

    An existing file is carried on: rows from the first step logged anew are replaced, earlier ones stay as they are.

    Args:
        save_dir: Folder of the file, made if missing.
        name: Name of the file.
        measured: Update of the checkpoint that is measured: the step of every row, of which the file has one for each
            checkpoint. ``None`` in training.
    """

    def __init__(self, save_dir: str | os.PathLike[str], name: str = METRICS, measured: int | None = None) -> None:
        super().__init__()
        self._measured = measured
        self._folder, self._file = Path(save_dir), name
        self._columns: list[str] = []
        self._row: dict[str, float] = {}
        self._offset: int | None = None  # of the last row, which may still gain values

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self._folder)

    @property
    def name(self) -> str:
        """Name of the file, by which Lightning tells loggers apart."""
        return self._file

    @property
    def version(self) -> str:
        """Empty: a folder holds one run."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write nothing: ``config.yaml`` in the same folder has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add values to the row of ``step``; a value given before is replaced."""
        step = self._measured if self._measured is not None else step or 0
        path = self._folder / self._file
        if self._offset is None:
            self._carry_on(path, step)
        values = {"step": float(step), **{name: float(value) for name, value in metrics.items()}}
        same_row = bool(self._row) and self._row["step"] == step
        self._row = {**self._row, **values} if same_row else values
        if unknown := [name for name in self._row if name not in self._columns]:
            self._widen(path, unknown, same_row)
        else:
            self._write_row(path, same_row)

    def _carry_on(self, path: Path, step: int) -> None:
        """Keep the complete rows before ``step`` of a file that is there already, or those of other checkpoints."""
        rows: list[dict[str, str]] = []
        self._columns = [*INDEX]
        if path.is_file():
            columns, rows = _read(path)
            self._columns = columns or self._columns
        steps = [float(row.get("step") or 0) for row in rows]
        kept = [each < step if self._measured is None else each != step for each in steps]
        self._rewrite(path, [row for row, keep in zip(rows, kept, strict=True) if keep])

    def _widen(self, path: Path, unknown: list[str], same_row: bool) -> None:
        rows = _read(path)[1]
        self._columns += unknown
        self._rewrite(path, rows[:-1] if same_row else rows)
        self._write_row(path, same_row=False)

    def _rewrite(self, path: Path, rows: list[dict[str, str]]) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(path) as file:
            file.write(table.getvalue().encode())
        self._offset = path.stat().st_size

    def _write_row(self, path: Path, same_row: bool) -> None:
        with path.open("r+", encoding="utf-8", newline="") as file:
            if same_row and self._offset is not None:
                file.seek(self._offset)
                file.truncate()
            else:
                self._offset = file.seek(0, os.SEEK_END)
            csv.writer(file, lineterminator="\n").writerow(_cells(self._row, self._columns))


def _cells(row: Mapping[str, float], columns: list[str]) -> Iterator[str]:
    for column in columns:
        yield "" if column not in row else f"{int(row[column])}" if column in INDEX else repr(row[column])


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read columns and complete rows; a last line that a crash cut off is left out."""
    text = path.read_text(encoding="utf-8")
    table = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    columns = table[0] if table else []
    return columns, [dict(zip(columns, line, strict=True)) for line in table[1:] if len(line) == len(columns)]
