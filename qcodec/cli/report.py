"""The command ``report``."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def report(arguments: Sequence[str]) -> None:
    """Write the report of one or more runs and say where it is."""
    parser = argparse.ArgumentParser(
        prog="qcodec report", description="Write report.html, figures/*.png and summary.csv from run folders."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder that `qcodec fit` wrote")
    parser.add_argument("--output", type=Path, help="folder to write to; the first run's if left out")
    options = parser.parse_args(arguments)

    from qcodec.report.write import write_report

    print(write_report(options.runs, options.output or options.runs[0]))
