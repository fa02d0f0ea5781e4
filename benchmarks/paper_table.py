"""The table of the paper's ten systems, from the results by seed.

    python benchmarks/paper_table.py

The results are those of ``qcodec fit --config surrogate/paper`` at the last epoch, by system and seed.
"""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parents[1] / "recipes/results/paper.csv"
PAPER = {
    "none": "falls to 0 quickly",
    "sq_ste": "diverges, MA-E without bound",
    "sq_ste_cl": "about 0.13, MA-E stable",
    "sq_mste": "stable; falls steadily, ends below `sq_ste_cl`",
    "sq_mste_cl": "stable; a staircase, slower",
    "sq_ste_cl_120": "like `none`",
    "na": "stable",
    "na_cl": "overlaps `na`",
    "na_det": "MA-E without bound",
    "na_det_cl": "MA-E still creeps up",
}


def by_seed(metric: str) -> dict[str, list[float]]:
    """Read the values of each system's seeds; empty cells are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    with RESULTS.open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["system"]] += [float(row[metric])] if row[metric] else []
    return found


def plain(value: float) -> str:
    if 1e-3 <= abs(value) < 1e3:
        return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def spread(values: list[float]) -> str:
    """Return mean and standard deviation over seeds."""
    return f"{plain(float(np.mean(values)))} ± {plain(float(np.std(values, ddof=1)))}"


def table() -> list[str]:
    mse, hard, ma_e, bits, lost = map(by_seed, ("mse", "hard_mse", "ma_e", "effective_bits", "diverged_at"))
    lines = [
        "| system | MSE | hard MSE | MA-E | effective bits | diverged at | "
        "[the paper](https://arxiv.org/abs/2502.04770) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, told in PAPER.items():
        first = f"{min(lost[name]):.0f}" if lost[name] else ""
        lines.append(
            f"| `{name}` | {spread(mse[name])} | {plain(float(np.mean(hard[name])))} | {spread(ma_e[name])} | "
            f"{np.mean(bits[name]):.1f} | {first} | {told} |"
        )
    return lines


if __name__ == "__main__":
    print(*table(), sep="\n")
