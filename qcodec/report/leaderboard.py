"""The leaderboard: an entry is a JSON file with what a system reached by seed, and the page is made of the files."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from qcodec.atomic_write import atomic_write
from qcodec.figures.data import Axis
from qcodec.figures.style import short
from qcodec.report.comparison import SOLVED, holm, paired
from qcodec.report.page import sparkline_points
from qcodec.runs.read import FloatArray, Run

METRICS = ("hard_mse", "mse", "ma_e", "effective_bits", "entropy_bits", "bits_per_frame")
RANKED = 10  # seeds from which an entry is ranked: with 5, no test of signs can tell two entries apart (p >= 0.0625)
START, END = "<!-- leaderboard -->", "<!-- end -->"
Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Entry:
    """What a system reached on the leaderboard's task.

    Attributes:
        name: Its name, that of its file too.
        system: Its settings, as in a recipe, with the schedule that it trained with.
        data: Settings of the data.
        source_bits: Entropy of a frame of the source, where R(D) ends.
        updates: Number of updates of each seed.
        seeds: Numbers of the seeds.
        values: By metric, the value of each seed at the end; ``None`` where it is no number.
        diverged_at: The update at which each seed diverged; ``None`` for never.
        curves: By metric, medians over the seeds at ``steps``; of the seeds that came first, where more came later.
        steps: Updates done at the points of the curves.
        tuning: By learning rate, held-out MSE of the seeds that the rate was chosen by; empty where none is told.
        made_by: Command, versions and machine of the run.
    """

    name: str
    system: Mapping[str, Any]
    data: Any
    source_bits: float
    updates: int
    seeds: tuple[int, ...]
    values: Mapping[str, Values]
    diverged_at: Values
    curves: Mapping[str, Values]
    steps: tuple[float, ...]
    tuning: Mapping[str, Values]
    made_by: Mapping[str, str]

    def of(self, metric: str) -> FloatArray:
        """Return a metric of each seed, ``(seeds,)``, nan where it is no number."""
        return np.array([np.nan if value is None else value for value in self.values[metric]])

    @property
    def bits(self) -> float:
        """Capacity of the codes of a frame, in bits."""
        return _median(self.of("bits_per_frame"))

    @property
    def carried(self) -> float:
        """Median over seeds of the effective bits; a seed whose MSE is no number carries none."""
        return float(np.median(np.nan_to_num(self.of("effective_bits"), nan=0.0)))

    @property
    def lost(self) -> float:
        """Bits per frame by which it misses R(D), in the median: what its codes could carry, less what they do."""
        return min(self.bits, self.source_bits) - self.carried

    @property
    def merit(self) -> float:
        """Geometric mean over seeds of max(hard MSE, 1e-4); what is no number counts as 1."""
        return float(np.exp(np.log(np.maximum(np.nan_to_num(self.of("hard_mse"), nan=1.0), SOLVED)).mean()))

    @property
    def half_way(self) -> float | None:
        """The first logged update with half the source's bits, in the median; ``None`` where it is not reached."""
        bits = self.curves["effective_bits"]
        return next(
            (s for s, b in zip(self.steps, bits, strict=True) if b is not None and b >= self.source_bits / 2), None
        )


def entries_of(run: Run, tuning: Mapping[str, Mapping[str, Sequence[float | None]]] | None = None) -> list[Entry]:
    """Return an entry for each system of a run of the surrogate codec.

    Args:
        run: With all seeds of its systems.
        tuning: By system and learning rate, held-out MSE of the seeds by which the rate was chosen.

    Raises:
        ValueError: For a run of another kind, without R(D), settings or seeds, or with none of a metric.
    """
    task = ((run.settings or {}).get("model") or {}).get("init_args") or {}
    if run.description.kind != "surrogate" or run.description.bound is None or not task.get("systems"):
        raise ValueError(f"{run.name} is no run of surrogate codecs on a source of known R(D), with its config.yaml")
    found = []
    for name, system in task["systems"].items():
        series = {metric: run.series(metric, name) for metric in METRICS}
        missing = [metric for metric, each in series.items() if each is None or not each.seeds]
        if missing:
            raise ValueError(f"{run.name} logged no {missing[0]} of {name} by seed: train it with seeds of 2 or more")
        known = {metric: each for metric, each in series.items() if each is not None}
        diverged = run.diverged(name)
        found.append(
            Entry(
                name=name,
                system=system | {"schedule": system.get("schedule") or task.get("schedule")},
                data=(run.settings or {})["data"],
                source_bits=max(run.description.bound.bits),
                updates=int(known["hard_mse"].steps[-1]),
                seeds=known["hard_mse"].seeds,
                values={metric: _plain(each.last) for metric, each in known.items()},
                diverged_at=_plain(diverged if len(diverged) else np.full(len(known["hard_mse"].seeds), np.nan)),
                curves={
                    metric: _plain(np.median(np.nan_to_num(known[metric].values, nan=worst, posinf=worst), axis=0))
                    for metric, worst in (("ma_e", np.inf), ("effective_bits", 0.0))
                },
                steps=tuple(map(float, known["hard_mse"].steps)),
                tuning={rate: tuple(values) for rate, values in (tuning or {}).get(name, {}).items()},
                made_by=run.description.made_by,
            )
        )
    return found


def add(entries: Sequence[Entry], folder: Path) -> list[Path]:
    """Write a file for each entry; further seeds of an entry that is there join its own.

    Raises:
        ValueError: For an entry that is there with other settings or the same seeds; nothing is written then.
    """
    joined = [_joined(entry, folder / f"{entry.name}.json") for entry in entries]
    for entry in joined:
        with atomic_write(folder / f"{entry.name}.json") as file:
            file.write((json.dumps(asdict(entry), indent=1) + "\n").encode())
    return [folder / f"{entry.name}.json" for entry in joined]


def _joined(entry: Entry, path: Path) -> Entry:
    if not path.exists():
        return entry
    known = read_entry(path)
    for what in ("system", "data", "updates"):
        if json.loads(json.dumps(getattr(entry, what))) != getattr(known, what):
            raise ValueError(f"{path} has another {what} than {entry.name} of the run: name the system otherwise")
    if both := sorted(set(known.seeds) & set(entry.seeds)):
        raise ValueError(f"{path} has seed {both[0]} of {entry.name} already: train others, by model.init_args.seed")
    values = {metric: (*known.values[metric], *entry.values[metric]) for metric in METRICS}
    diverged = (*known.diverged_at, *entry.diverged_at)
    return replace(known, seeds=(*known.seeds, *entry.seeds), values=values, diverged_at=diverged)


def read_entry(path: Path) -> Entry:
    """Read the file of an entry.

    Raises:
        ValueError: For a file that is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("seeds", "diverged_at", "steps"):
            content[name] = tuple(content[name])
        for name in ("values", "curves", "tuning"):
            content[name] = {key: tuple(values) for key, values in content[name].items()}
        entry = Entry(**content)
        sizes = {len(entry.values[metric]) for metric in METRICS} | {len(entry.diverged_at), len(entry.seeds)}
        if len(sizes) > 1 or not entry.seeds:
            raise ValueError("its seeds and values differ in number")
        return entry
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no entry of the leaderboard ({error}): `qcodec leaderboard add` writes one"
        ) from None


def read_entries(folder: Path) -> list[Entry]:
    """Read all entries of a folder, best first.

    Raises:
        ValueError: Where there is none, or a file is no entry.
    """
    entries = [read_entry(path) for path in sorted(folder.glob("*.json"))]
    if not entries:
        raise ValueError(f"{folder} holds no entries: `qcodec leaderboard add RUN` writes them, --folder names another")
    return sorted(entries, key=lambda entry: (entry.merit, entry.name))


@dataclass(frozen=True)
class Row:
    """A row of the table: cells, a number for each to sort by, and the points of the curve of MA-E."""

    cells: tuple[str, ...]
    keys: tuple[float | str, ...]
    points: str
    level: bool = False  # with the leader: the seeds do not tell them apart


HEADINGS = (
    "entry", "quantizer", "estimator", "seeds", "solved", "hard MSE, median", "least", "greatest", "effective bits",
    "bits lost", "half way at update", "diverged", "hard / soft MSE", "code use", "learning rate",
)  # fmt: skip


def tables(entries: Sequence[Entry]) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield title, note and rows of each table: ranked, screened, and at other rates than most entries."""
    rates = [round(entry.bits, 1) for entry in entries]
    usual = max(sorted(set(rates)), key=rates.count)
    here = [entry for entry, rate in zip(entries, rates, strict=True) if rate == usual]
    ranked = [entry for entry in here if len(entry.seeds) >= RANKED]
    screened = [entry for entry in here if len(entry.seeds) < RANKED]
    elsewhere = [entry for entry in entries if entry not in here]
    if ranked:
        note = (
            f"{RANKED} seeds or more. Those marked = cannot be told from the first (p of a permutation test by seed, "
            f"corrected for {len(ranked) - 1} comparisons, is 0.05 or more)."
        )
        yield f"Ranked, at {usual:g} bits a frame", note, _rows(ranked, _level(ranked))
    if screened:
        note = "Too few seeds to tell neighbours apart: an order to choose from what is trained with more, no ranking."
        yield f"Screened, at {usual:g} bits a frame", note, _rows(screened)
    if elsewhere:
        elsewhere.sort(key=lambda entry: entry.lost)
        yield (
            "At other rates",
            "In the order of the bits that are lost against R(D) at their own rate.",
            _rows(elsewhere),
        )


def _level(ranked: Sequence[Entry]) -> set[str]:
    """Return the names of those that the seeds which both have do not tell from the first."""
    first, *others = ranked
    p_values = []
    for other in others:
        seeds = sorted(set(first.seeds) & set(other.seeds))
        if len(seeds) < 2:
            p_values.append(1.0)
            continue
        held = [each.of("hard_mse")[[each.seeds.index(seed) for seed in seeds]] for each in (first, other)]
        p_values.append(paired(held[0], held[1], floor=SOLVED).p)
    return {other.name for other, p in zip(others, holm(p_values), strict=True) if p >= 0.05}


def _rows(entries: Sequence[Entry], level: Collection[str] = ()) -> list[Row]:
    curves = [np.array([np.nan if x is None else x for x in entry.curves["ma_e"]]) for entry in entries]
    seen = np.concatenate([curve[np.isfinite(curve) & (curve > 0)] for curve in curves] or [np.ones(1)])
    low, high = float(min(seen, default=1.0)), float(max(seen, default=1.0))
    axis = Axis(low, max(high, 1.01 * low), log=True)
    return [
        replace(_row(entry), points=sparkline_points(np.array(entry.steps), curve, axis), level=entry.name in level)
        for entry, curve in zip(entries, curves, strict=True)
    ]


def _row(entry: Entry) -> Row:
    hard, n = entry.of("hard_mse"), len(entry.seeds)
    solved = int((hard < SOLVED).sum())
    lost = sum(each is not None for each in entry.diverged_at)
    gap = _median(hard / entry.of("mse"))
    ends = [float(f(np.nan_to_num(hard, nan=np.inf))) for f in (np.median, np.min, np.max)]
    use = _median(entry.of("entropy_bits")) / entry.bits
    rate = (entry.system.get("schedule") or {}).get("init_args", {}).get("rate")
    half = entry.half_way
    named = (entry.name, *_parts(entry.system))
    cells = (
        *named, str(n), f"{solved} of {n}", *map(_number, ends), f"{entry.carried:.1f}", f"{entry.lost:.1f}",
        "never" if half is None else f"{half:,.0f}", f"{lost} of {n}", _number(gap),
        f"{use:.0%}" if np.isfinite(use) else "", "" if rate is None else f"{rate:g}",
    )  # fmt: skip
    keys = (
        *named, n, solved / n, *ends, entry.carried, entry.lost, np.inf if half is None else half, lost / n, gap, use,
        rate or 0.0,
    )  # fmt: skip
    return Row(cells, keys, "")


def _median(values: FloatArray) -> float:
    """Return the median of what is finite; nan where nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _number(value: float) -> str:
    return short(value) if np.isfinite(value) else ""


def _parts(system: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of the class of a system's quantizer and of its estimator, the first in the depth."""
    quantizer = system.get("quantizer") or {}
    name = str(quantizer.get("class_path", "Identity")).rpartition(".")[2]
    return name, next((str(path).rpartition(".")[2] for path in _estimators(quantizer)), "")


def _estimators(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        estimator = settings.get("estimator")
        if isinstance(estimator, Mapping) and "class_path" in estimator:
            yield estimator["class_path"]
        for value in settings.values():
            yield from _estimators(value)


def markdown(entries: Sequence[Entry]) -> str:
    """Return the tables as Markdown, without the columns that only the page has."""
    parts = []
    shown = [HEADINGS.index(name) for name in HEADINGS if name not in ("quantizer", "estimator", "hard / soft MSE")]
    for title, note, rows in tables(entries):
        lines = [
            f"**{title}.** {note}",
            "",
            "| " + " | ".join(HEADINGS[k] for k in shown) + " |",
            "|---" * len(shown) + "|",
        ]
        for row in rows:
            cells = [row.cells[k] for k in shown]
            lines.append("| " + " | ".join([f"`{cells[0]}`{' =' * row.level}", *cells[1:]]) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def page(entries: Sequence[Entry]) -> str:
    """Return the leaderboard as one page whose columns can be sorted and whose rows can be filtered."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("leaderboard.html").render(
        headings=HEADINGS, tables=list(tables(entries)), entries=entries
    )


def build(folder: Path, output: Path) -> Path:
    """Write the page to ``output``, and the tables into ``README.md`` of ``folder``, whose ``entries`` are read.

    In the README they replace what lies between ``<!-- leaderboard -->`` and ``<!-- end -->``; without these, or
    without a README, there is the page alone.
    """
    entries = read_entries(folder / "entries")
    readme = folder / "README.md"
    if readme.is_file() and START in (text := readme.read_text(encoding="utf-8")):
        before, _, rest = text.partition(START)
        content = f"{before}{START}\n{markdown(entries)}\n{END}{rest.partition(END)[2]}"
        with atomic_write(readme) as file:
            file.write(content.encode())
    with atomic_write(output) as file:
        file.write(page(entries).encode())
    return output


def _plain(values: FloatArray) -> Values:
    """Return numbers with six digits; ``None`` where one is not finite."""
    return tuple(float(f"{value:.6g}") if np.isfinite(value) else None for value in values)
