"""The command ``report``."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def report(arguments: Sequence[str]) -> None:
    """Write the report of one or more runs and say where it is."""
    parser = argparse.ArgumentParser(
        prog="qcodec report", description="Write report.html, figures/*.png and summary.csv from run folders."
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN",
        help="a folder that `qcodec fit` wrote, or one of anybody's offline W&B runs, such as wandb/offline-run-*",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="folder to write to; the first run's if left out")
    parser.add_argument(
        "--compare", nargs=2, action="append", default=[], metavar=("A", "B"),
        help="compare two systems seed by seed: the ratio with its interval, and p, corrected where it is given again",
    )  # fmt: skip
    options = parser.parse_args(arguments)

    from qcodec.report.write import COMPARISONS, write_report

    path = write_report(options.runs, options.output or options.runs[0], options.compare)
    if options.compare:
        print((path.parent / COMPARISONS).read_text(encoding="utf-8"), end="")
    print(path)
