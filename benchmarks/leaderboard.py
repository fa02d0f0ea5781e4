"""Trains the entries of the leaderboard, a few at a time, and adds each to it as it ends.

    python benchmarks/leaderboard.py RUNS [--part 0/2] [--only sq_ste sq_mste ...]

Each entry of ``recipes/leaderboard/entries.yaml`` gets the same small budget for its learning rate: four rates, two
seeds of 6000 updates each, of which the best by held-out MSE is taken. At that rate it trains 20 000 updates on five
seeds that chose nothing. An entry whose file is there is left out, so that a stopped run goes on where it was.
Two parts at a time are fastest with ``OMP_NUM_THREADS=1`` each.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from qcodec.report.leaderboard_entry import merit
from qcodec.runs.grids import expand_grids
from qcodec.runs.read import read_run

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/leaderboard/entries.yaml"
ENTRIES = ROOT / "recipes/leaderboard/entries"
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
TUNING = {"first": 0, "seeds": 2, "updates": 6000, "warmup": 1800}
COUNTED = {"first": 100, "seeds": 5, "updates": 20000, "warmup": 6000}
EPOCHS = 20


def label(rate: float) -> str:
    """Return a rate as it can stand in a system's name."""
    return f"{rate:.0e}".replace("e-0", "e-")


def schedule(rate: float, budget: dict[str, int]) -> dict[str, Any]:
    settings = {"rate": rate, "updates": budget["updates"], "warmup": budget["warmup"]}
    return {"class_path": "qcodec.schedules.Cosine", "init_args": settings}


def fit(systems: dict[str, Any], budget: dict[str, int], folder: Path) -> None:
    """Train systems into a run folder; go on with what is there."""
    if (folder / "done").exists():
        return
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["trainer"] = str(ROOT / "conf/trainer/epochs_10.yaml")
    recipe["data"] = str(ROOT / "conf/data/synthetic_bits.yaml")
    recipe["model"]["init_args"] = {"seed": budget["first"], "seeds": budget["seeds"], "systems": systems}
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    command = [sys.executable, "-m", "qcodec", "fit", "--config", str(path), "--run_dir", str(folder)]
    command += ["--quiet", "--trainer.max_epochs", str(EPOCHS), "--trainer.enable_progress_bar", "false"]
    command += ["--data.init_args.updates_per_epoch", str(budget["updates"] // EPOCHS)]
    checkpoint = folder / "checkpoints/last.ckpt"
    if checkpoint.exists():
        command += ["--ckpt_path", str(checkpoint)]
    subprocess.run(command, check=True, env=os.environ | {"WANDB_MODE": "disabled"})
    (folder / "done").touch()


def tuned(name: str, folder: Path) -> dict[str, list[float | None]]:
    """Return the held-out MSE of each seed of an entry, by learning rate."""
    run = read_run(folder)
    series = {rate: run.series("hard_mse", f"{name}@{label(rate)}") for rate in RATES}
    return {
        label(rate): [float(x) if np.isfinite(x) else None for x in found.last]
        for rate, found in series.items()
        if found
    }


def train(names: tuple[str, ...], systems: dict[str, Any], folder: Path) -> None:
    """Tune and train some entries side by side, and add them to the leaderboard."""
    rates = {f"{name}@{label(r)}": systems[name] | {"schedule": schedule(r, TUNING)} for name in names for r in RATES}
    fit(rates, TUNING, folder / "tuning")
    found = {name: tuned(name, folder / "tuning") for name in names}
    (folder / "tuning.json").write_text(json.dumps(found, indent=1))
    best = {name: float(min(values, key=lambda rate: merit(values[rate]))) for name, values in found.items()}
    counted = {name: systems[name] | {"schedule": schedule(best[name], COUNTED)} for name in names}
    fit(counted, COUNTED, folder / "counted")
    words = [str(folder / "counted"), "--tuning", str(folder / "tuning.json"), "--folder", str(ENTRIES)]
    subprocess.run([sys.executable, "-m", "qcodec", "leaderboard", "add", *words], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--part", default="0/1", help="which of how many parts of the entries")
    parser.add_argument("--together", type=int, default=4, help="entries that train side by side")
    parser.add_argument("--only", nargs="+", help="train these entries alone")
    options = parser.parse_args()
    systems = expand_grids(yaml.safe_load(RECIPE.read_text()))["model"]["init_args"]["systems"]
    part, parts = map(int, options.part.split("/"))
    wanted = options.only or list(systems)
    for number, start in enumerate(range(0, len(wanted), options.together)):
        missing = tuple(
            name for name in wanted[start : start + options.together] if not (ENTRIES / f"{name}.json").exists()
        )
        if number % parts == part and missing:
            print(f"{number}: {', '.join(missing)}", flush=True)
            train(missing, systems, options.runs / "+".join(missing))


if __name__ == "__main__":
    main()
