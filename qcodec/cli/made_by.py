"""Command, versions and machine of a run, for its report."""

import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch

import qcodec


def made_by(words: Sequence[str]) -> dict[str, str]:
    """Return what a result may depend on beside its settings.

    Args:
        words: Arguments of the program.
    """
    packages = ", ".join(f"{name} {version(name)}" for name in ("qcodec", "torch", "lightning", "numpy"))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    commit = _commit()
    return {
        "command": f"qcodec {shlex.join(words)}",
        "begun": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": f"Python {platform.python_version()}, {packages}",
        **({"commit": commit} if commit else {}),
        "machine": ", ".join(filter(None, [processor(), f"{cores} cores, {torch.get_num_threads()} threads", gpu])),
    }


def _commit() -> str:
    """Return the commit of the checkout that the package runs from, and whether files differ; empty without one."""
    folder = Path(qcodec.__file__).parents[1]
    if not (folder / ".git").exists():
        return ""
    asked = ["git", "-C", str(folder), "describe", "--always", "--abbrev=12", "--dirty=, with changes", "--exclude=*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def took(seconds: float, updates: int) -> dict[str, str]:
    """Return how long a fit took for some updates, and the most memory that the process or its GPU held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    memory = f"{peak / 1e6:,.0f} MB of the process"
    if torch.cuda.is_available():
        memory = f"{torch.cuda.max_memory_allocated() / 1e6:,.0f} MB of the GPU, {memory}"
    each = f", {1000 * seconds / updates:.3g} ms an update" if updates else ""
    return {"time": f"{seconds:,.1f} s for {updates:,} updates{each}, validation included", "peak memory": memory}


def processor() -> str:
    """Return the name of this machine's processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8", errors="replace").splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
