"""A report on one or more runs: a table, figures and one page that holds both."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from qcodec.atomic_write import atomic_write
from qcodec.figures.drawn import Drawn
from qcodec.report import audio, general, page, surrogate
from qcodec.report.comparison import compare
from qcodec.report.summary import Table, summary
from qcodec.runs.pool_seeds import pool_seeds
from qcodec.runs.read import Run, read_run, side_by_side
from qcodec.runs.schema import PICTURES, RUN
from qcodec.runs.wandb_offline import offline_files, read_offline

# What each kind of run has; a run of any other kind has the general figures.
FIGURES: dict[str, Sequence[Callable[[Run], Iterator[Drawn]]]] = {
    "surrogate": surrogate.FIGURES,
    "audio": audio.FIGURES,
}


COMPARISONS = "comparisons.txt"


def write_report(runs: Sequence[Path], output: Path, pairs: Sequence[Sequence[str]] = ()) -> Path:
    """Write ``summary.csv``, ``figures/*.png`` and ``report.html`` on the given run folders into ``output``.

    A system that several runs trained with other seeds and the same settings counts as one with all these seeds.
    What a run's callbacks drew into its folder ``pictures`` is shown as it is.
    Files are replaced one by one once all are made, so that the old report remains where anything fails.

    Args:
        runs: Run folders, or those of offline W&B runs of anybody's; may still be written.
        output: Folder of the report, made where it does not exist.
        pairs: Two names each of systems to compare seed by seed, also in ``comparisons.txt``.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: Where there is no run, or one cannot be read, their kinds differ, or a pair cannot be compared;
            nothing is written then.
    """
    if not runs:
        raise ValueError("there is no run to report on: name one or more run folders")
    read, runs = _read(runs)
    together = side_by_side(pool_seeds(read), ", ".join(run.name for run in read))
    table, comparisons = summary(together), compare(together, pairs)
    figures = [page.Picture(each.name, each.caption, _png(each.figure)) for each in drawn_figures(together)]
    for run, folder in zip(read, runs, strict=True):
        for path in sorted(Path(folder, PICTURES).glob("[!.]*.png")):
            if path.is_symlink():  # it may lead to what is not the run's to show
                continue
            name = f"{run.name.replace('/', '-')}_{path.stem}"
            caption = f"{path.stem.replace('_', ' ')} of {run.name}, drawn at its last validation."
            figures.append(page.Picture(name, caption, path.read_bytes()))
    files = {"summary.csv": _csv(table), "report.html": page.page(together, table, comparisons, figures, read).encode()}
    if comparisons:
        files[COMPARISONS] = "".join(f"{each.sentence}\n" for each in comparisons).encode()
    for name, content in {**{f"figures/{figure.name}.png": figure.png for figure in figures}, **files}.items():
        with atomic_write(output / name) as file:
            file.write(content)
    return output / "report.html"


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


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
