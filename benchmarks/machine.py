"""Shared helpers of the benchmarks: the machine and its peak, and a script in a process of its own."""

import json
import os
import platform
import subprocess
import sys
import time

import torch

from qcodec.cli.made_by import processor


def machine():
    """Name processor, load, accelerator and versions."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {gpu}, {versions}"


def peak_flops(device, clock=time.perf_counter, size=2048, rounds=5):
    """Floating-point operations per second of the best of some square float32 matrix products."""
    x, best = torch.randn(size, size, device=device), float("inf")
    for _ in range(rounds):
        begin = clock()
        y = x @ x
        y[0, 0].item()  # waits for a GPU
        best = min(best, clock() - begin)
    return 2 * size**3 / best


def in_a_process(script, words, **environment):
    """Run a script with these words, which prints a JSON value in its last line, and return that value."""
    command = [sys.executable, script, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
