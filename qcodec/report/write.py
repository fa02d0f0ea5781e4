"""A report on one or more runs: a table, figures and one page that holds both."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from qcodec.atomic_write import atomic_write
from qcodec.figures import parallel
from qcodec.figures.drawn import Drawn
from qcodec.figures.style import single_column
from qcodec.report import audio, general, page, surrogate
from qcodec.report.comparison import compare, compare_with_best
from qcodec.report.summary import Table, summary
from qcodec.runs.folder import is_being_written
from qcodec.runs.pool_seeds import pool_seeds
from qcodec.runs.read import Run, read_run, side_by_side
from qcodec.runs.schema import PICTURES, RUN, SOUNDS
from qcodec.runs.sweep_table import SWEEP, read_sweep_table, runs_of_sweep
from qcodec.runs.wandb_offline import offline_files, read_offline

# What each kind of run has; a run of any other kind has the general figures.
FIGURES: dict[str, Sequence[Callable[[Run], Iterator[Drawn]]]] = {
    "surrogate": surrogate.FIGURES,
    "audio": audio.FIGURES,
}


COMPARISONS = "comparisons.txt"


def write_report(runs: Sequence[Path], output: Path, pairs: Sequence[Sequence[str]] = (), *, pdf: str = "") -> Path:
    """Write ``summary.csv``, ``figures/*.png`` and ``report.html`` on the given run folders into ``output``.

    A system that several runs trained with other seeds and the same settings counts as one with all these seeds.
    Runs of several kinds, such as surrogate and audio codecs, get a section each, and their files the kind's name.
    What a run's callbacks drew into its folder ``pictures`` is shown as it is; what lies in ``sounds`` can be heard.
    Files are replaced one by one once all are made, so that the old report remains where anything fails.

    Args:
        runs: Run folders, those of sweeps, or of offline W&B runs of anybody's; may still be written.
        output: Folder of the report, made where it does not exist.
        pairs: Two names each of systems to compare seed by seed, also in ``comparisons.txt``.
        pdf: Width of the figures that are also written as ``figures/*.pdf``: ``page``, ``column``, or empty for none.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: Where there is no run, or one cannot be read, or a pair cannot be compared;
            nothing is written then.
    """
    if not runs:
        raise ValueError("there is no run to report on: name one or more run folders")
    sweeps = [folder for folder in map(Path, runs) if (folder / SWEEP).is_file()]
    read, runs = _read([run for folder in runs for run in (runs_of_sweep(folder) if folder in sweeps else [folder])])
    kinds = list(dict.fromkeys(run.description.kind for run in read))
    together = [_together([run for run in read if run.description.kind == kind]) for kind in kinds]
    comparisons = compare(together, pairs)
    own = list(zip(read, runs, strict=True))
    files: dict[str, bytes] = {}
    sections = []
    for kind, run in zip(kinds, together, strict=True):
        table, drawn = summary(run), list(drawn_figures(run))
        before = _as_file(kind) + "_" if len(kinds) > 1 else ""
        pictures = [*map(_trials, sweeps)] if kind == kinds[0] else []
        pictures += [page.Picture(before + each.name, each.caption, _file(each.figure, "png")) for each in drawn]
        pictures += [found for each in own if each[0].description.kind == kind for found in _pictures(*each)]
        files |= {f"figures/{each.name}.png": each.png for each in pictures}
        files |= {
            f"figures/{before}{each.name}.pdf": _file(each.figure, "pdf") for each in _for_a_paper(run, drawn, pdf)
        }
        files[f"{before}summary.csv"] = _csv(table)
        held = [each for each in comparisons if each.kind == kind]
        held = held if pairs else compare_with_best(run, [str(row["system"]) for row in table.rows])
        sections.append(page.section(run, table, held, bool(pairs), pictures))
    clips = [clip for each in own for clip in _clips(*each)]
    going = [run.name for run, folder in own if is_being_written(folder)]
    files |= {COMPARISONS: "".join(f"{each.sentence}\n" for each in comparisons).encode()} if comparisons else {}
    files["report.html"] = page.page(sections, clips, read, going).encode()
    for name, content in files.items():
        with atomic_write(output / name) as file:
            file.write(content)
    return output / "report.html"


def _for_a_paper(run: Run, drawn: Sequence[Drawn], width: str) -> Sequence[Drawn]:
    """Return the figures of a width: those of the page, or drawn anew for a column; none for none."""
    if width != "column":
        return drawn if width else ()
    with single_column():
        return list(drawn_figures(run))


def _as_file(words: str) -> str:
    return re.sub(r"[^\w.-]+", "_", words)


def _trials(sweep: Path) -> page.Picture:
    table = read_sweep_table(sweep)
    caption = f"Trials of {sweep.resolve().name}: what was set, and the {table.metric} that came of it."
    return page.Picture(f"{sweep.resolve().name}_trials", caption, _file(parallel.draw(table), "png"))


def _together(runs: Sequence[Run]) -> Run:
    return side_by_side(pool_seeds(runs), ", ".join(run.name for run in runs))


def _pictures(run: Run, folder: Path) -> Iterator[page.Picture]:
    for path in _own_files(folder / PICTURES, "png"):
        caption = f"{path.stem.replace('_', ' ')} of {run.name}, drawn at its last validation."
        yield page.Picture(f"{run.name.replace('/', '-')}_{path.stem}", caption, path.read_bytes(), drawn=False)


def _clips(run: Run, folder: Path) -> Iterator[page.Clip]:
    by_number: dict[str, dict[str, bytes]] = {}
    for path in sorted(_own_files(folder / SOUNDS, "flac"), key=lambda path: (path.stem[0] != "o", path.stem)):
        name, _, number = path.stem.rpartition("_")
        by_number.setdefault(number, {})[name.replace("_", " ")] = path.read_bytes()
    yield from (page.Clip(run.name, number, by_number[number]) for number in sorted(by_number))


def _own_files(folder: Path, ending: str) -> list[Path]:
    """Return files of a folder without links, which may lead to what is not the run's to show."""
    return [path for path in sorted(folder.glob(f"[!.]*.{ending}")) if not path.is_symlink()]


def drawn_figures(run: Run) -> Iterator[Drawn]:
    """Draw the figures that runs of its kind have."""
    for draw in FIGURES.get(run.description.kind, general.FIGURES):
        yield from draw(run)


def _read(folders: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """Read run folders, and what is of W&B as one run of all its parts; return the folders of the runs too."""
    offline = {folder: offline_files(folder) for folder in map(Path, folders) if not (folder / RUN).is_file()}
    files = [path for found in offline.values() for path in found]
    own = [Path(folder) for folder in folders if not offline.get(Path(folder))]
    read = _distinct([read_run(folder) for folder in own], own)
    if not files:
        return read, own
    return [*read, read_offline(files)], [*own, next(folder for folder, found in offline.items() if found)]


def _distinct(read: Sequence[Run], folders: Sequence[Path]) -> list[Run]:
    """Name runs by the last two folders of their paths where their names are alike."""
    names = [run.name for run in read]
    longer = ["/".join(Path(folder).resolve().parts[-2:]) for folder in folders]
    return [replace(run, name=two) if names.count(run.name) > 1 else run for run, two in zip(read, longer, strict=True)]


def _csv(table: Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.rows[0])
    for row in table.rows:
        writer.writerow([f"{cell:.8g}" if isinstance(cell, float | int) else cell for cell in row.values()])
    return text.getvalue().encode()


def _file(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=kind)
    return content.getvalue()
