"""Estimator or commitment weight? The tables, the comparisons and the figure, from the results by seed.

    python benchmarks/commitment_weight.py FIGURE.png

The results are those of ``qcodec fit --config surrogate/commitment_weight`` at three learning rates, on which each
estimator's settings were chosen, of ``surrogate/commitment_weight_fresh`` on other seeds, and of two of its systems at
the paper's rate and length.
"""

import csv
import math
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures import style
from qcodec.figures.words import short
from qcodec.report.comparison import SOLVED, Share, holm, paired

RESULTS = Path(__file__).parents[1] / "recipes/results"
ESTIMATORS = {"ste": "STE", "mste": "mSTE", "mste_channel": "mSTE, sigma per channel"}
WEIGHTS = {"w0": 0.0, "w3e-2": 0.03, "w1e-1": 0.1, "w3e-1": 0.3, "w1": 1.0, "w3": 3.0}
RATES = ("1e-3", "3e-3", "1e-2")
DITHERS = ("", "_dithered")
# the pairs that were compared on fresh seeds: the best of each estimator, and what the paper's weight makes of it
PAIRS = (
    ("ste_w3e-1_3e-3", "mste_dithered_w1e-1_1e-2"),
    ("ste_w3e-1_3e-3", "mste_channel_w3e-2_1e-2"),
    ("ste_w3e-1_3e-3", "mste_channel_dithered_w1e-1_3e-3"),
    ("ste_w3e-1_3e-3", "mste_channel_dithered_w0_1e-2"),
    ("ste_w3e-1_3e-3", "ste_w1e-1_3e-3"),
    ("ste_w1e-1_3e-3", "mste_w1e-1_3e-3"),
)
Values = dict[str, dict[int, float]]  # system -> seed -> value


def results(name: str, metric: str, rates: bool = False) -> Values:
    """Read a metric of by-seed results; with the learning rate, which names the fit, in the system's name."""
    found: Values = defaultdict(dict)
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["system"] + (f"_{row['fit']}" if rates else "")][int(row["seed"])] = float(row[metric])
    return found


def merit(values: dict[int, float]) -> tuple[int, float]:
    """Return what settings are chosen by, lowest first: seeds not solved, then the median of log MSE."""
    held = np.maximum(np.nan_to_num(list(values.values()), nan=math.inf), SOLVED)
    return int((held > SOLVED).sum()), float(np.median(np.log(held)))


def tuning_table() -> list[str]:
    """Return the table of how many seeds each setting solves: of 3 at its best rate, and of 9 at all three."""
    tuned = results("commitment_weight", "hard_mse", rates=True)
    lines = ["| weight | " + " | ".join(f"{weight:g}" for weight in WEIGHTS.values()) + " |", "|---|" + "---|" * 6]
    for dither, (name, label) in product(DITHERS, ESTIMATORS.items()):
        cells = []
        for weight in WEIGHTS:
            solved = [3 - merit(tuned[f"{name}{dither}_{weight}_{rate}"])[0] for rate in RATES]
            cells.append(f"{max(solved)}, {sum(solved)}")
        lines.append(f"| {label}{', dither' if dither else ''} | " + " | ".join(cells) + " |")
    return lines


def fresh_table(name: str = "commitment_weight_fresh") -> list[str]:
    """Return the table of fresh seeds: how many each system solves, with the exact interval, and the median."""
    fresh = results(name, "hard_mse")
    lines = ["| system | solved | median hard MSE | least | greatest |", "|---|---|---|---|---|"]
    for system, seeds in fresh.items():
        values = list(seeds.values())
        share = Share(sum(value < SOLVED for value in values), len(values))
        ends = (float(np.median(values)), min(values), max(values))
        lines.append(f"| `{system}` | {share} | " + " | ".join(short(value) for value in ends) + " |")
    return lines


def comparisons() -> list[str]:
    """Return the table of the comparisons on fresh seeds."""
    fresh = results("commitment_weight_fresh", "hard_mse")
    found = []
    for pair in PAIRS:
        seeds = sorted(fresh[pair[0]].keys() & fresh[pair[1]].keys())
        found.append(paired(*(np.array([fresh[name][seed] for seed in seeds]) for name in pair), floor=SOLVED))
    lines = ["| first | second | median ratio of max(MSE, 1e-4), 95 % interval | p |", "|---|---|---|---|"]
    for (first, second), each, p in zip(PAIRS, found, holm([each.p for each in found]), strict=True):
        ratio, low, high = map(short, (each.ratio, each.low, each.high))
        lines.append(f"| `{first}` | `{second}` | {ratio} ({low} to {high}) | {p:.2g} |")
    return lines


@style.styled
def figure() -> Figure:
    """Draw hard MSE and MA-E against the weight, at each estimator's best rate and dither for that weight."""
    drawn = Figure(figsize=(style.WIDTH, 3.1))
    panels = drawn.subplots(1, 2, gridspec_kw={"left": 0.07, "right": 0.99, "bottom": 0.15, "top": 0.9, "wspace": 0.18})
    hard_mse = results("commitment_weight", "hard_mse", rates=True)
    ma_e = results("commitment_weight", "ma_e", rates=True)
    places = np.arange(len(WEIGHTS))
    for number, (name, label) in enumerate(ESTIMATORS.items()):
        best = [
            min((f"{name}{d}_{w}_{r}" for d, r in product(DITHERS, RATES)), key=lambda key: merit(hard_mse[key]))
            for w in WEIGHTS
        ]
        colour = ("#D55E00", "#009E73", "#0072B2")[number]
        for axes, values, least in zip(panels, (hard_mse, ma_e), (SOLVED, 0.0), strict=True):
            shift = 0.14 * (number - 1)
            rows = np.array([[*values[key].values()] for key in best]).clip(least)
            axes.plot(places + shift, np.median(rows, axis=1), color=colour, label=label, linewidth=1)
            axes.plot(np.repeat(places + shift, 3), rows.ravel(), "o", color=colour, markersize=3, clip_on=False)
    for axes, title in zip(panels, ("hard MSE, 1e-4 or less at the bottom", "MA-E"), strict=True):
        axes.set(yscale="log", xlabel="commitment weight", title=title)
        axes.set_xticks(places, [f"{weight:g}" for weight in WEIGHTS.values()])
    panels[0].set_ylim(SOLVED, 1.2)
    panels[1].set_ylim(0.5, 100)
    panels[0].axhline(0.1044, **style.REFERENCE)
    panels[0].text(2.6, 0.115, "known rotation", fontsize=style.SMALL, color=style.MUTED)
    panels[1].legend(fontsize=style.SMALL, frameon=False)
    return drawn


def main() -> None:
    """Print the tables and draw the figure."""
    for table in (tuning_table(), fresh_table(), comparisons(), fresh_table("commitment_weight_long")):
        print("\n".join(table), end="\n\n")
    figure().savefig(sys.argv[1])


if __name__ == "__main__":
    main()
