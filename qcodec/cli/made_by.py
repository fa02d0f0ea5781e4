"""Command, versions and machine of a run, for its report."""

import os
import platform
import shlex
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch


def made_by(words: Sequence[str]) -> dict[str, str]:
    """Return what a result may depend on beside its settings.

    Args:
        words: Arguments of the program.
    """
    packages = ", ".join(f"{name} {version(name)}" for name in ("qcodec", "torch", "lightning", "numpy"))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "command": f"qcodec {shlex.join(words)}",
        "begun": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": f"Python {platform.python_version()}, {packages}",
        "machine": ", ".join(filter(None, [processor(), f"{cores} cores, {torch.get_num_threads()} threads", gpu])),
    }


def processor() -> str:
    """Return the name of this machine's processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8", errors="replace").splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
