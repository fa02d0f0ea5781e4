"""The table of an evaluation, written row by row, so that a stopped one can go on."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from qcodec.atomic_write import atomic_write
from qcodec.evaluation.file_codec import Level
from qcodec.evaluation.measure import Measured

Row = dict[str, str]


class Table:
    """Rows of ``evaluation.csv``, which are in ``evaluation.csv.part`` until all are there.

    Args:
        path: Of ``evaluation.csv``.
        metrics: Names of what is measured.
        resume: Whether the rows of a table that is there are taken over, those of a stopped evaluation first.

    Raises:
        ValueError: For a table with other columns.
    """

    def __init__(self, path: Path, metrics: Sequence[str], resume: bool) -> None:
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self.columns = (
            "model", "file", "level", "seconds", "kbps", "file_kbps", "nominal_kbps", "delay", *metrics, "notes",
        )  # fmt: skip
        former = next((each for each in (self.part, path) if each.is_file()), None) if resume else None
        self.rows = self._read(former) if former else []
        self._names, self._begun = path.with_name("codecs.json"), False
        self._identities: dict[str, str] = (
            json.loads(self._names.read_text(encoding="utf-8")) if self._names.is_file() else {}
        )
        self._known = {(row["model"], row["file"], row["level"]) for row in self.rows}

    def identify(self, model: str, identity: str) -> None:
        """Say which codec a name stands for; rows that another one left under it are dropped.

        Args:
            model: The name.
            identity: In words, with all that its rows depend on.
        """
        if self._identities.get(model) == identity:
            return
        self._identities[model] = identity
        self.rows = [row for row in self.rows if row["model"] != model]
        self._known = {key for key in self._known if key[0] != model}
        if self._begun:
            self._begin()

    def misses(self, model: str, file: Path, levels: Sequence[Level]) -> list[Level]:
        """Return those levels of which there is no row yet."""
        return [level for level in levels if (model, str(file), _level(level)) not in self._known]

    def add(self, model: str, found: Measured) -> None:
        """Write a row."""
        values = {name: f"{value:.6g}" for name, value in found.quality.values.items()}
        nominal = "" if found.nominal_kbps is None else f"{found.nominal_kbps:.6g}"
        numbers = {"seconds": found.seconds, "kbps": found.kbps, "file_kbps": found.file_kbps}
        row = dict.fromkeys(self.columns, "") | {"model": model, "file": str(found.file), "level": _level(found.level)}
        row |= {name: f"{value:.6g}" for name, value in numbers.items()} | {"nominal_kbps": nominal} | values
        row["delay"] = str(found.quality.delay)
        row["notes"] = "; ".join(f"{name} {reason}" for name, reason in found.quality.notes.items())
        if not self._begun:
            self._begin()
        self.rows.append(row)
        with self.part.open("ab") as file:
            file.write(self._lines([row]))

    def close(self) -> None:
        """Put the whole table in place."""
        if not self._begun:
            self._begin()
        self.part.replace(self.path)

    def _begin(self) -> None:
        """Write what there is, and which codecs the names stand for."""
        head = dict(zip(self.columns, self.columns, strict=True))
        names = json.dumps(self._identities, indent=1) + "\n"
        for path, content in ((self.part, self._lines([head, *self.rows])), (self._names, names.encode())):
            with atomic_write(path) as file:
                file.write(content)
        self._begun = True

    def _lines(self, rows: Sequence[Mapping[str, str]]) -> bytes:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerows(rows)
        return text.getvalue().encode(errors="surrogateescape")

    def _read(self, path: Path) -> list[Row]:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
        if not lines or tuple(lines[0]) != self.columns:
            raise ValueError(f"{path} has other columns: give the same --metrics, or leave --resume out")
        return list(_whole(lines[1:], self.columns))


def _whole(lines: Sequence[Sequence[str]], columns: Sequence[str]) -> Iterator[Row]:
    yield from (dict(zip(columns, line, strict=True)) for line in lines if len(line) == len(columns))


def _level(level: Level) -> str:
    return "" if level is None else f"{level:.6g}"
