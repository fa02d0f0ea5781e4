# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Read a run into pandas, and draw a figure of your own
#
# A run's folder holds `metrics.csv` (a row for each logged step), `config.yaml` (a recipe that repeats it) and `run.json`
# (what each metric is, and what theory says of the data). `qcodec.load_run` reads them.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas

import qcodec

QUICK = os.environ.get("QUICK") == "1"  # fewer updates
os.environ.setdefault("WANDB_MODE", "disabled")
folder = Path(tempfile.mkdtemp()) / "run"
qcodec.fit(
    "surrogate/quickstart",
    run_dir=folder,
    **{
        "model.init_args.seeds": 3,
        "data.init_args.updates_per_epoch": 5 if QUICK else 400,
        "trainer.max_epochs": 6,
        "trainer.enable_progress_bar": False,
        "model.init_args.schedule": {"class_path": "qcodec.schedules.Constant", "init_args": {"rate": 0.001}},
    },
)
run = qcodec.load_run(folder)

# %% [markdown]
# ## A table
#
# Columns are `METRIC/SYSTEM`, a mean over seeds, and `by_seed/METRIC/SYSTEM/SEED`.

# %%
table = pandas.DataFrame(run.metrics).dropna(axis="columns", how="all").set_index("step")
table.filter(regex=r"^(mse|ma_e)/").round(3)

# %% [markdown]
# Long form, one value a row:

# %%
long = table.filter(like="by_seed/").melt(ignore_index=False, value_name="value").dropna().reset_index()
long[["metric", "system", "seed"]] = long.pop("variable").str.removeprefix("by_seed/").str.rsplit("/", n=2, expand=True)
long.groupby(["metric", "system"])["value"].agg(["last", "min", "max", "count"]).round(3)

# %% [markdown]
# ## A figure
#
# MA-E against MSE, each seed over its whole training: what STE buys by letting the embedding grow.

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for system, rows in long.groupby("system"):
    wide = rows[rows.metric.isin(["mse", "ma_e"])].pivot_table(index=["seed", "step"], columns="metric", values="value")
    for number, (_, path) in enumerate(wide.groupby("seed")):
        axes.plot(path.ma_e, path.mse, ".-", color={"sq_ste": "C1", "sq_ste_cl": "C0"}.get(system, "C2"),
                  label=system if number == 0 else None)  # fmt: skip
axes.set(xlabel="MA-E", ylabel="training MSE", xscale="log")
axes.legend(frameon=False)

# %% [markdown]
# ## What the run states of itself

# %%
print({metric.name: metric.title for metric in run.description.metrics})
print(run.description.references)
print(run.settings["data"])

# %% [markdown]
# `run.figure("mse")` draws what the report draws, and `run.report(("sq_ste_cl", "sq_mste"))` writes the whole page with a
# comparison, seed by seed.
