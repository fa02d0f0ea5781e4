"""One trial of a sweep: fits with some settings, and what came of them."""

import ctypes
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from qcodec.atomic_write import atomic_write
from qcodec.runs.folder import is_being_written
from qcodec.runs.read import Run, read_run
from qcodec.runs.schema import CHECKPOINTS
from qcodec.sweeps.settings import Sweep, with_settings

TRIALS = "trials"
_TO_SAVE = 120.0  # seconds that a fit has to write its state and end


class FitError(Exception):
    """A fit that ended with an error, in one line."""


@dataclass(frozen=True)
class Outcome:
    """What a trial came to: the median over seeds of the metric, and whether most seeds diverged."""

    value: float
    diverged: bool


def trial_folder(folder: Path, number: int, chosen: Mapping[str, str]) -> Path:
    """Return the folder of a trial, called by its number and what was chosen."""
    words = " ".join(f"{name.rpartition('.')[2]}={value}" for name, value in chosen.items())
    return folder / TRIALS / f"{number:03d} {re.sub(r'[^A-Za-z0-9_.,=+ -]+', '_', words)[:120]}".strip()


def run_trial(sweep: Sweep, base: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> Outcome:
    """Fit with some settings, once for each seed, and read what was logged; what is there goes on.

    Args:
        sweep: The sweep.
        base: Its recipe, whole.
        settings: What was chosen, by dotted name.
        folder: Of the trial, with a run folder for each seed.

    Raises:
        FitError: Where a fit ends with an error, or logs no such metric.
    """
    recipe = with_settings(base, {**sweep.fixed, **settings})
    values: list[float] = []
    lost: list[bool] = []
    for number, seed in enumerate(sweep.seeds or (None,)):
        run_dir = folder / str(number)
        whole = recipe if seed is None else _seeded(recipe, seed)
        with atomic_write(folder / f"{number}.yaml") as file:
            file.write(yaml.safe_dump(whole, sort_keys=False).encode())
        _fit(folder / f"{number}.yaml", run_dir)
        try:
            run = read_run(run_dir)
        except ValueError as error:  # of a fit that logged nothing
            raise FitError(str(error)) from None
        found, diverged = _reached(run, sweep.metric, math.inf if sweep.direction == "minimize" else -math.inf)
        values += found
        lost += diverged
    return Outcome(float(np.median(values)), 2 * sum(lost) > len(lost))


def _seeded(recipe: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return a recipe with another seed, also where its model and data have one of their own."""
    changed = {**recipe, "seed_everything": seed}
    for part in ("model", "data"):
        settings = changed.get(part)
        if isinstance(settings, Mapping) and "seed" in (settings.get("init_args") or {}):
            changed[part] = {**settings, "init_args": {**settings["init_args"], "seed": seed}}
    return changed


def _fit(recipe: Path, run_dir: Path) -> None:
    while is_being_written(run_dir):  # by the fit of a worker that was killed, which saves its state
        time.sleep(1)
    command = [sys.executable, "-m", "qcodec", "fit", "--config", str(recipe), "--run_dir", str(run_dir), "--quiet"]
    checkpoint = run_dir / CHECKPOINTS / "last.ckpt"
    command += ["--ckpt_path", str(checkpoint)] if checkpoint.is_file() else []
    end = _end_with_the_worker if sys.platform == "linux" else None
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=end) as fit:
        try:
            _, told = fit.communicate()
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):  # which the terminal sends to the fit too
                fit.terminate()
            fit.wait(_TO_SAVE)
            raise
    if fit.returncode:
        lines = [line for line in told.splitlines() if line.startswith("qcodec: ")] or told.splitlines()
        raise FitError(f"{run_dir}: {lines[0] if lines else f'ended with status {fit.returncode}'}")


def _end_with_the_worker() -> None:
    """Let Linux send SIGTERM to a fit whose worker has ended, however it did."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _reached(run: Run, metric: str, worst: float) -> tuple[list[float], list[bool]]:
    """Return the last value and whether it diverged, of each seed; what is not finite counts as the worst."""
    name, _, system = metric.rpartition("/")
    name, system = (name, system) if name else (metric, next(iter(run.metrics.get(metric, {})), ""))
    series = run.series(name, system)
    if series is None:
        raise FitError(f"{run.name} logged no {metric}: it has {', '.join(run.metrics)} of {', '.join(run.systems)}")
    diverged = np.isfinite(run.diverged(system))
    values = np.where(np.isfinite(series.last), series.last, worst)
    return values.tolist(), (diverged if len(diverged) else np.zeros(len(values), bool)).tolist()
