"""Counts false alarms and misses of `diverged_at` over all committed results of the surrogate, seed by seed.

    python benchmarks/divergence_guard.py

A false alarm is a seed that was said to have diverged and ends with half of the source's variance or more
explained; a miss is one that was not, and ends with MA-E above 100 or an MSE that is no number.
"""

import csv
import json
import math
from collections import Counter
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"
ZERO_INFORMATION = 0.8846


def seeds():
    """Yield the file, update of divergence, MA-E and hard MSE at the end of each seed."""
    for path in sorted(RECIPES.glob("results/*.csv")):
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            if {"diverged_at", "ma_e", "hard_mse"} <= row.keys():
                yield path.stem, row["diverged_at"], row["ma_e"], row["hard_mse"]
    for path in sorted(RECIPES.glob("leaderboard/entries/*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        values = (entry["diverged_at"], entry["values"]["ma_e"], entry["values"]["hard_mse"])
        yield from (("leaderboard", *each) for each in zip(*values, strict=True))


def number(value):
    """Return a number; nan for none."""
    return float(value) if value not in (None, "") else math.nan


def main() -> None:
    counts: dict[str, Counter[str]] = {}
    for source, diverged, ma_e, mse in seeds():
        said, ma_e, mse = math.isfinite(number(diverged)), number(ma_e), number(mse)
        lost = not (ma_e <= 100 and math.isfinite(mse))
        count = counts.setdefault(source, Counter())
        count["seeds"] += 1
        count["said to diverge"] += said
        count["false alarms"] += said and mse < ZERO_INFORMATION / 2
        count["misses"] += lost and not said
    total = sum(counts.values(), Counter())
    columns = ["seeds", "said to diverge", "false alarms", "misses"]
    print("| results | " + " | ".join(columns) + " |\n" + "|---" * 5 + "|")
    for source, count in [*counts.items(), ("all", total)]:
        print(f"| {source} | " + " | ".join(str(count[name]) for name in columns) + " |")


if __name__ == "__main__":
    main()
