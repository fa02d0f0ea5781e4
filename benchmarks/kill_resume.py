"""Kill fits at random moments, resume them, and compare with a fit that nothing has stopped, bit for bit.

    python benchmarks/kill_resume.py --kills 4

For each task (the surrogate with a dither, a small DAC, a small DAC at variable bitrate) and each signal (Ctrl-C,
SIGTERM, SIGKILL) it starts that many fits, kills each once at a moment drawn over the time that a whole fit takes,
resumes it as the README says, and compares all rows of ``metrics.csv`` and all weights of the last checkpoint.
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from machine import machine

SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.logger=false", "--trainer.accelerator=cpu"]
SMALL = {"encoder_dim": 2, "decoder_dim": 32, "quantizer.init_args.dim": 32}
CROPS = {"updates_per_epoch": 12, "val_crops": 4, "duration": 0.1, "val_duration": 0.3}
AUDIO = [
    *QUIET, "--trainer.callbacks=null", "--trainer.max_epochs=4", "--trainer.max_steps=-1",
    "--trainer.log_every_n_steps=5",
    "--data.init_args.subsets.held_out=0.5", "--data.init_args.root=audio",
    *(f"--data.init_args.crops.{name}={value}" for name, value in CROPS.items()),
    *(f"--model.init_args.codec.init_args.{name}={value}" for name, value in SMALL.items()),
]  # fmt: skip
VRVQ = ["--model.init_args.codec.init_args.quantizer.init_args.allocator.init_args.channels=32"]
TASKS = {
    "surrogate": [
        "--config=surrogate/beat_the_floor", *QUIET, "--trainer.max_epochs=4", "--model.init_args.seeds=1",
        "--data.init_args.updates_per_epoch=300",
    ],
    "DAC": ["--config=dac/small_mste", *AUDIO],
    "VRVQ": ["--config=vrvq/small_vbr", *AUDIO, *VRVQ, "--data.init_args.batch_size=4"],
}  # fmt: skip


def fit(words: list[str]) -> subprocess.Popen[bytes]:
    """Start a fit in the current folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", "QCODEC_CACHE": "cache"}
    return subprocess.Popen(
        [sys.executable, "-m", "qcodec", "fit", *words], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def outcome(folder: str) -> tuple[list[dict[str, str]], dict[str, torch.Tensor]]:
    """Return the rows of a run and the weights of its last checkpoint."""
    with Path(folder, "metrics.csv").open(newline="") as file:
        rows = [dict(sorted(row.items())) for row in csv.DictReader(file)]
    return rows, torch.load(Path(folder, "checkpoints/last.ckpt"), weights_only=True)["state_dict"]


def same(first: str, second: str) -> bool:
    """Return whether two runs ended alike, bit for bit."""
    (rows, weights), (other_rows, other_weights) = outcome(first), outcome(second)
    return rows == other_rows and all(torch.equal(value, other_weights[name]) for name, value in weights.items())


def killed_and_resumed(words: list[str], folder: str, number: int, after: float) -> tuple[bool, str]:
    """Kill a fit and finish it; return whether it was still running, and what went wrong."""
    process = fit([*words, f"--run_dir={folder}"])
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    process.communicate()
    if process.returncode == 0:
        return False, ""
    checkpoint = Path(folder, "checkpoints/last.ckpt")
    again = [f"--config={folder}/config.yaml", f"--ckpt_path={checkpoint}"] if checkpoint.is_file() else words
    resumed = fit([*again, *([] if checkpoint.is_file() else [f"--run_dir={folder}"])])
    _, errors = resumed.communicate()
    return True, "" if resumed.returncode == 0 else errors.decode().strip().splitlines()[-2][:200]


def main() -> None:
    """Print a table of kills and of fits that ended as if never stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4, help="of each task by each signal")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS])
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    print(machine())
    print("| task | signal | killed | ended as if never stopped |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("audio").mkdir()
        for number in range(8):
            noise = np.random.default_rng(number).normal(0, 0.1, 44100)
            soundfile.write(f"audio/{number}.wav", noise, 44100)
        for task in options.tasks:
            begin = time.monotonic()
            whole = fit([*TASKS[task], f"--run_dir={task}"])
            if whole.wait():
                raise SystemExit(whole.communicate()[1].decode())
            seconds = time.monotonic() - begin
            for name, number in SIGNALS.items():
                killed = alike = 0
                for attempt in range(options.kills):
                    run = f"{task}{name}{attempt}"
                    after = seconds * moments.uniform(0.3, 1.0)  # before that Python is still loading
                    was_killed, fault = killed_and_resumed(TASKS[task], run, number, after)
                    killed += was_killed
                    alike += was_killed and not fault and same(run, task)
                    if fault:
                        print(f"{run}: {fault}", file=sys.stderr)
                print(f"| {task} | {name} | {killed} | {alike} |", flush=True)


if __name__ == "__main__":
    main()
