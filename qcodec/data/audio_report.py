"""Messages and a table about audio files that are not as they should be."""

import csv
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import final

from qcodec.data.audio_index import AudioFile, Fault

_log = logging.getLogger(__name__)
_NAMED = 10  # files that one message names; the table names all


@final
class AudioReport:
    """Counts the faults of a set of files, logs each once, and ends a run that has too many.

    Args:
        name: The split that the files are for.
        total: Number of files, good and bad.
        max_bad_share: Share of them that may be bad.
        table: CSV file to write, which lists every file with a fault or a peculiarity; ``None`` for none.

    Attributes:
        faults: Reason for each bad file, by path.
        quiet: While true, faults are counted but not logged.
    """

    def __init__(self, name: str, total: int, max_bad_share: float, table: Path | None = None) -> None:
        self.name, self.total, self.max_bad_share, self.table = name, total, max_bad_share, table
        self.faults: dict[str, str] = {}
        self.quiet = False
        self._rows: list[tuple[str, str]] = []

    def add(self, faults: Iterable[Fault]) -> None:
        """Count faults and log them, once for each file.

        Raises:
            ValueError: If more than the share is bad.
        """
        new = {fault.path: fault.reason for fault in faults if fault.path not in self.faults}
        if not new:
            return
        self.faults |= new
        self._tell(new, "left out")
        bad = len(self.faults)
        if bad > self.max_bad_share * self.total:
            path, reason = next(iter(new.items()))
            raise ValueError(
                f"{bad} of {self.total} audio files for {self.name} are bad, more than max_bad_share "
                f"{self.max_bad_share:g} allows; {path} {reason}: mend the folder, or allow more"
            )

    def note(self, files: Iterable[AudioFile], sample_rate: int) -> None:
        """Log which files are mixed down or resampled."""
        files = list(files)
        mixed = {f.path: f"has {f.channels} channels" for f in files if f.channels > 1}
        resampled = {f.path: f"is at {f.sample_rate} Hz" for f in files if f.sample_rate != sample_rate}
        self._tell(mixed, "mixed down to one channel")
        self._tell(resampled, f"resampled to {sample_rate} Hz")

    def set_aside(self, files: Iterable[AudioFile], seconds: float) -> None:
        """Log which good files are too short for crops of this many seconds."""
        short = {f.path: f"lasts {f.seconds:.2f} s" for f in files}
        self._tell(short, f"too short for crops of {seconds:g} s, left out")

    def _tell(self, files: dict[str, str], outcome: str) -> None:
        if not files or self.quiet:
            return
        self._write([(path, f"{reason}: {outcome}") for path, reason in files.items()])
        named = "; ".join(f"{path} {reason}" for path, reason in list(files.items())[:_NAMED])
        rest = f"; and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        where = f" (all of them: {self.table})" if rest and self.table else ""
        count = f"{len(files)} of {self.total} audio files"
        _log.warning("%s: %s %s: %s%s%s", self.name, count, outcome, named, rest, where)

    def _write(self, rows: list[tuple[str, str]]) -> None:
        self._rows += rows
        if self.table is None:
            return
        self.table.parent.mkdir(parents=True, exist_ok=True)
        with self.table.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file).writerows([("file", "remark"), *self._rows])
