"""Holds the ranking of estimators on the surrogate against that in a codec.

    qcodec sweep recipes/toy_to_dac/estimators.sweep.yaml --workers 2
    python benchmarks/toy_to_dac.py sweeps/estimators [--figure toy_to_dac.png]

Of each estimator, with and without commitment, the surrogate's merit is that of the leaderboard's entry ``sq_NAME``
(geometric mean over seeds of max(hard MSE, 1e-4)), and the codec's the mean over seeds of the held-out mel distance. A
seed that diverged has the worst value of all. Rank correlations, Kendall's tau-b and Spearman's rho, come with 95 %
intervals by bootstrap over seeds and systems, with and without systems that diverged; beside them the reliability of
each side: the rank correlation of the means of two halves of its seeds, stepped up to all by Spearman and Brown, which
bounds what any correlation with another side can be.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau, spearmanr

from qcodec.figures import style
from qcodec.report.comparison import SOLVED
from qcodec.report.leaderboard_entry import read_entries
from qcodec.runs.read import read_run
from qcodec.runs.sweep_table import read_sweep_table

ENTRIES = Path(__file__).parents[1] / "recipes/leaderboard/entries"


def filled(values, worst):
    """Return values with the worst in place of what is no number."""
    return np.where(np.isfinite(values), values, worst)


def correlations(toy, codec):
    """Return tau-b and rho of two sides' means; nan where a side has one value alone."""
    if len(set(toy)) < 2 or len(set(codec)) < 2:
        return math.nan, math.nan
    return float(kendalltau(toy, codec).statistic), float(spearmanr(toy, codec).statistic)


def again(values, random):
    """Draw as many values with replacement."""
    return values[random.integers(len(values), size=len(values))]


def bootstrap(toy, codec, samples=2000):
    """Return tau-b and rho of the means over seeds, each with the ends of its interval.

    Args:
        toy: For each system its seeds' values, ``(seeds,)``.
        codec: Those of the other side, in the same order.
        samples: Of systems, and of the seeds of each, with replacement.
    """
    random, found = np.random.default_rng(0), []
    for _ in range(samples):
        systems = random.integers(len(toy), size=len(toy))
        drawn = [
            [each[random.integers(len(each), size=len(each))].mean() for each in (toy[k], codec[k])] for k in systems
        ]
        found.append(correlations(*np.array(drawn).T))
    middle = correlations([each.mean() for each in toy], [each.mean() for each in codec])
    ends = np.nanpercentile(np.array(found), [2.5, 97.5], axis=0)
    return [(value, *ends[:, k]) for k, value in enumerate(middle)]


def reliability(values, samples=500):
    """Return the mean rank correlation of halves of the seeds, stepped up to all of them (Spearman and Brown, 1910)."""
    random, found = np.random.default_rng(0), []
    for _ in range(samples):
        halves = ([], [])
        for each in values:
            order = random.permutation(len(each))
            for half, part in zip(halves, (order[: len(each) // 2], order[len(each) // 2 :]), strict=True):
                half.append(each[part].mean())
        found.append(correlations(*halves)[1])
    half = float(np.nanmean(found))
    return 2 * half / (1 + half)


def read_codec(folder):
    """Return the held-out mel distances of each system's seeds; nan where one diverged."""
    table, values = read_sweep_table(folder), {}
    estimator, commitment = table.settings
    for row in table.rows:
        name = "_".join(filter(None, (row[estimator], row[commitment])))
        runs = [read_run(run) for run in sorted((folder / row["folder"]).glob("[0-9]*/"))]
        last = [run.series("val_mel", run.systems[0]) for run in runs]
        lost = [np.isfinite(run.diverged(run.systems[0])).any() for run in runs]
        values[name] = np.array(
            [math.nan if bad or found is None else found.last[0] for found, bad in zip(last, lost, strict=True)]
        )
    return values


@style.styled
def scatter(names, toy, codec):
    """Draw both sides' means with the range over seeds."""
    figure = Figure(figsize=(style.WIDTH, 4.0))
    axes = style.axes_in_inches(figure, 0.62, 0.5, 6.2, 2.95)
    style.titled(
        figure, "Estimators on the surrogate and in a small DAC", "points: means; bars: least to greatest seed"
    )
    for name, first, second in zip(names, toy, codec, strict=True):
        x, y = math.exp(first.mean()), second.mean()
        axes.plot([math.exp(first.min()), math.exp(first.max())], [y, y], color=style.OTHERS, linewidth=0.8)
        axes.plot([x, x], [second.min(), second.max()], color=style.OTHERS, linewidth=0.8)
        axes.plot([x], [y], "o", color=style.ACCENT, markersize=4)
        axes.annotate(name, (x, y), (4, 3), textcoords="offset points", fontsize=style.SMALL)
    axes.set_xscale("log")
    axes.set(xlabel="max(hard MSE, 1e-4) of the surrogate, geometric mean", ylabel="held-out mel distance of the DAC")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    entries = {entry.name: entry for entry in read_entries(ENTRIES)}
    codec = {name: values for name, values in read_codec(options.sweep).items() if f"sq_{name}" in entries}
    names = sorted(codec)
    hard = [entries[f"sq_{name}"].of("hard_mse") for name in names]
    toy = [np.log(np.maximum(filled(values, 1.0), SOLVED)) for values in hard]
    worst = max(values[np.isfinite(values)].max() for values in codec.values() if np.isfinite(values).any())
    mel = [filled(codec[name], worst) for name in names]
    print("| system | surrogate | held-out mel | codec diverged |\n|---|---|---|---|")
    for name, first, second in zip(names, toy, mel, strict=True):
        lost = int((~np.isfinite(codec[name])).sum())
        distance = f"{second.mean():.3f} ± {second.std(ddof=1):.3f}"
        print(f"| {name} | {math.exp(first.mean()):.3g} | {distance} | {lost} of {len(second)} |")
    stable = [
        k for k, name in enumerate(names)
        if np.isfinite(codec[name]).all() and not any(each is not None for each in entries[f"sq_{name}"].diverged_at)
    ]  # fmt: skip
    for what, chosen in (("all", range(len(names))), ("those that never diverged", stable)):
        if len(chosen) < 3:
            continue
        first, second = [toy[k] for k in chosen], [mel[k] for k in chosen]
        (tau, low, high), (rho, least, most) = bootstrap(first, second)
        print(
            f"{len(chosen)} systems, {what}: tau-b {tau:.2f} ({low:.2f} to {high:.2f}), rho {rho:.2f} ({least:.2f} to "
            f"{most:.2f}); reliability: surrogate {reliability(first):.2f}, codec {reliability(second):.2f}"
        )
    if options.figure:
        scatter(names, toy, mel).savefig(options.figure)


if __name__ == "__main__":
    main()
