"""The command ``report``."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PAUSE = 2.0  # seconds between two looks at what a run has logged


def report(arguments: Sequence[str]) -> None:
    """Write the report of one or more runs and say where it is."""
    parser = argparse.ArgumentParser(
        prog="qcodec report", description="Write report.html, figures/*.png and summary.csv from run folders."
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN",
        help="folder of `qcodec fit` or `qcodec sweep`, or of anybody's offline W&B run, such as wandb/offline-run-*",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="folder to write to; the first run's if left out")
    parser.add_argument(
        "--compare", nargs=2, action="append", default=[], metavar=("A", "B"),
        help="compare two systems seed by seed: the ratio with its interval, and p, corrected where it is given again",
    )  # fmt: skip
    parser.add_argument(
        "--pdf", choices=["page", "column"], default="",
        help="write each figure as a PDF too, as wide as the page of a paper or as one of its two columns",
    )  # fmt: skip
    parser.add_argument("--watch", action="store_true", help="write the page anew as long as a run is still going")
    options = parser.parse_args(arguments)

    from qcodec.report.write import COMPARISONS, write_report

    output = options.output or options.runs[0]
    path = write_report(options.runs, output, options.compare, pdf=options.pdf)
    if options.compare:
        print((path.parent / COMPARISONS).read_text(encoding="utf-8"), end="")
    print(path, flush=True)
    if options.watch:
        _watch(options.runs, lambda: write_report(options.runs, output, options.compare, pdf=options.pdf))


def _watch(runs: Sequence[Path], write: Callable[[], object]) -> None:
    """Write the report whenever a run has logged more, until none is still going, and once more then."""
    from qcodec.runs.folder import is_being_written

    seen = _logged(runs)
    while any(map(is_being_written, runs)):
        time.sleep(_PAUSE)
        if (now := _logged(runs)) != seen:
            write()
            seen = now
    write()


def _logged(runs: Sequence[Path]) -> list[int]:
    return [path.stat().st_mtime_ns for run in runs for path in sorted(run.glob("metrics.csv"))]
