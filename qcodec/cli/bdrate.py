"""The command ``bdrate``."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path


def bdrate(arguments: Sequence[str]) -> None:
    """Print Bjontegaard deltas of models against one of them, from what ``evaluate`` wrote.

    Raises:
        ValueError: For a table that is not of ``evaluate``, or a model that is not in it.
    """
    parser = argparse.ArgumentParser(
        prog="qcodec bdrate",
        description="Compute from evaluation.csv how much rate each model saves at equal quality against a reference "
        "(BD-rate, negative is less), and how much better it is at equal rate (BD-metric), for each metric, with 95 % "
        "intervals over recordings. Curves that hardly overlap, or where quality does not rise with rate, are refused.",
    )
    parser.add_argument("table", type=Path, metavar="CSV", help="such as evaluation/evaluation.csv")
    parser.add_argument("reference", metavar="MODEL", help="name of the reference, as in the table's column `model`")
    parser.add_argument("--interpolation", choices=("pchip", "akima"), default="pchip")
    options = parser.parse_args(arguments)

    from qcodec.evaluation.bd_rate import compare_rates
    from qcodec.evaluation.quality import METRICS

    with options.table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"model", "file", "kbps"} <= set(rows[0]):
        raise ValueError(f"{options.table} is no table that `qcodec evaluate` wrote")
    models = list(dict.fromkeys(row["model"] for row in rows))
    if options.reference not in models:
        raise ValueError(f"there is no model {options.reference!r} in {options.table}: there are {', '.join(models)}")
    for model in models:
        for metric in METRICS if model != options.reference else ():
            if metric.name in rows[0]:
                pair = (options.reference, model)
                told = compare_rates(rows, pair, metric.name, metric.better, options.interpolation)
                print(f"{model} against {options.reference}, {metric.name}: {told}")
