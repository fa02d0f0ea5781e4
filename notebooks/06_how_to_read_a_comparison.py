# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How to read a comparison
#
# Every number in qcodec's tables has a row by seed in `recipes/results`. This notebook reads one of them and shows what
# an interval over seeds says, and what it does not.

# %%
import csv
import os
from collections import defaultdict

import matplotlib.pyplot as plt
import numpy as np

from qcodec.report.comparison import SOLVED, Share, holm, paired
from qcodec.report.leaderboard_entry import read_entries
from qcodec.runs.recipes import recipes_folder

QUICK = os.environ.get("QUICK") == "1"  # changes nothing here: all of it takes seconds
values = defaultdict(dict)
with (recipes_folder() / "results" / "commitment_weight_fresh.csv").open(newline="") as file:
    for row in csv.DictReader(file):
        values[row["system"]][int(row["seed"])] = float(row["hard_mse"])
print(f"{len(values)} systems, {len(values['ste_w3e-1_3e-3'])} seeds each")

# %% [markdown]
# ## Look at every seed first
#
# On this task a seed either finds the lossless code or stays at one of a few values: means and standard deviations
# describe no seed at all.

# %%
figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
for height, by_seed in enumerate(values.values()):
    axes.plot(np.maximum(list(by_seed.values()), 1e-14), [height] * len(by_seed), "o", alpha=0.5, ms=5)
axes.axvline(SOLVED, color="#777777", ls="--", lw=0.8)
axes.set_yticks(range(len(values)), values)
axes.set(xscale="log", xlabel="hard MSE of each seed (dashed: solved)")

# %% [markdown]
# ## Count what is solved, with an exact interval
#
# 8 of 20 is 0.40; another 20 seeds could easily have been 5 or 12. The interval (Clopper and Pearson) says which shares
# the seeds do not contradict.

# %%
for system, by_seed in values.items():
    print(f"{system:<36}{Share(sum(value < SOLVED for value in by_seed.values()), len(by_seed))}")

# %% [markdown]
# ## Compare two, seed by seed
#
# Both systems have the same 20 seeds: the same data and the same first weights where these are alike. `paired` takes the
# ratio at each seed, its median with a bootstrap interval, and a permutation test. An interval that contains 1 means
# that the seeds do not tell the two apart. That is not the same as "they are equal".

# %%
best = "mste_channel_dithered_w1e-1_3e-3"
others = [system for system in values if system != best]
found = [paired(*(np.array(list(values[name].values())) for name in (best, other)), floor=SOLVED) for other in others]
for other, each, p in zip(others, found, holm([each.p for each in found])):
    print(f"against {other:<34} ratio {each.ratio:8.3g} ({each.low:.3g} to {each.high:.3g})  p = {p:.2g}")

# %% [markdown]
# The p values are corrected for their number (Holm): whoever looks at six comparisons finds one of p < 0.05 by chance
# in a quarter of all cases.
#
# ## How many seeds?
#
# The smallest p that a test of signs can reach with n seeds is 2 / 2^n: with 5 seeds 0.06. So a table of five seeds
# screens; it does not rank.

# %%
for seeds in (3, 5, 6, 10, 20):
    print(f"{seeds:>3} seeds: p can be no less than {2 / 2**seeds:.2g}")

# %% [markdown]
# ## The leaderboard
#
# `recipes/leaderboard` has a file for each entry, all with the same budget for their learning rate. Every seed of the
# first twelve, best first; most of what looks like an order is the luck of five seeds.

# %%
entries = read_entries(recipes_folder() / "leaderboard" / "entries")[:12]
figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
for height, entry in enumerate(reversed(entries)):
    axes.plot(np.maximum(entry.of("hard_mse"), 1e-14), [height] * len(entry.seeds), "o", alpha=0.5, ms=5)
axes.axvline(SOLVED, color="#777777", ls="--", lw=0.8)
axes.set_yticks(range(len(entries)), [entry.name for entry in reversed(entries)])
axes.set(xscale="log", xlabel="hard MSE of each seed (dashed: solved)")

# %% [markdown]
# `lost` is the distance to R(D) in bits per frame: what the codes could carry, less what they do. Two entries may be far
# apart in MSE and near in bits, and an entry of few seeds is screened, not ranked.

# %%
for entry in entries:
    print(f"{entry.name:<28}{len(entry.seeds):>3} seeds   MSE {entry.merit:8.2g}   {entry.lost:5.1f} bits lost")
