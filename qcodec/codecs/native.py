"""The compiled kernel behind the fully connected stack: built at first use, kept in a cache folder, optional."""

import ctypes
import functools
import hashlib
import itertools
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

_SOURCE = Path(__file__).with_name("stack.cpp")
_HEADER = Path(__file__).with_name("stack_blocks.h")
# Not -ffast-math: a member that diverges to infinity or NaN has to stay visible.
_FLAGS = ("-O3", "-std=gnu++17", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
_TIMEOUT = 300.0  # seconds for one compilation, which takes one to a few
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layers:
    """What a kernel is compiled for; layer ``l`` maps ``widths[l]`` to ``widths[l + 1]`` features."""

    widths: tuple[int, ...]
    skip: tuple[bool, ...]
    activation: tuple[bool, ...]
    skip_after: bool
    slope_per_channel: bool

    def macros(self) -> list[str]:
        """Give the compiler's arguments that define this configuration."""
        lists = {"WIDTHS": self.widths, "SKIP": self.skip, "ACTIVATION": self.activation}
        flags = {"AFTER": self.skip_after, "CHANNEL": self.slope_per_channel}
        values = {name: ",".join(str(int(value)) for value in row) for name, row in lists.items()}
        values |= {name: str(int(flag)) for name, flag in flags.items()}
        return [f"-DQCODEC_{name}={value}" for name, value in values.items()]

    def shapes(self) -> list[tuple[int, ...]]:
        """Give the shapes of weight, bias and slope of each layer; ``(0,)`` for the slope where there is no PReLU."""
        shapes: list[tuple[int, ...]] = []
        for active, (n_in, n_out) in zip(self.activation, itertools.pairwise(self.widths), strict=True):
            shapes += [(n_out, n_in), (n_out,), ((n_out if self.slope_per_channel else 1) * active,)]
        return shapes


@final
class Kernel:
    """Forward and backward pass of a loaded library; all tensors are contiguous float32 on the CPU.

    Parameters and their gradients are ``(M, P)``: weight, bias and slope of each layer in this order.
    """

    def __init__(self, library: ctypes.CDLL, layers: Layers) -> None:
        sizes = (ctypes.c_int64 * 3)()
        library.qcodec_sizes(sizes)
        self._chunk, self._kept, self._partial = sizes
        self.layers = layers
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._forward, self._backward = library.qcodec_forward, library.qcodec_backward
        self._forward.argtypes = [pointer] * 4 + [integer] * 3 + [pointer]
        self._backward.argtypes = [pointer] * 7 + [integer] * 3 + [pointer]
        self._forward.restype = self._backward.restype = None
        self._parallel = _openmp()

    def forward(self, x: Tensor, parameters: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
        """Give the output ``(M, F, T)`` and, where asked for, what the backward pass needs."""
        members, _, frames = x.shape
        y = x.new_empty(members, self.layers.widths[-1], frames)
        kept = x.new_empty(members, -(-frames // self._chunk), self._kept) if keep else None
        self._forward(
            parameters.data_ptr(), x.data_ptr(), y.data_ptr(), None if kept is None else kept.data_ptr(),
            members, frames, torch.get_num_threads(), self._parallel,
        )  # fmt: skip
        return y, kept

    def backward(
        self, x: Tensor, parameters: Tensor, kept: Tensor, grad_y: Tensor, need_grad_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Give the gradients of ``x``, where asked for, and of the parameters."""
        members, _, frames = x.shape
        grad_x = torch.empty_like(x) if need_grad_x else None
        gradients = torch.empty_like(parameters)
        partial = x.new_empty(members, kept.shape[1], self._partial)
        self._backward(
            parameters.data_ptr(), x.data_ptr(), kept.data_ptr(), grad_y.data_ptr(),
            None if grad_x is None else grad_x.data_ptr(), gradients.data_ptr(), partial.data_ptr(),
            members, frames, torch.get_num_threads(), self._parallel,
        )  # fmt: skip
        return grad_x, gradients


@functools.cache
def kernel(layers: Layers) -> Kernel | None:
    """Give the kernel of a configuration, compiled if need be; ``None``, after one warning, where that fails."""
    try:
        return Kernel(_library(layers), layers)
    except (OSError, RuntimeError, AttributeError) as error:
        _warn_once(str(error))
        return None


_warned: list[str] = []


def _warn_once(reason: str) -> None:
    if not _warned:
        _log.warning(
            "The compiled kernel of the codec is not available (%s), so PyTorch's operations are used, several times "
            "slower. Install a C++ compiler such as g++, or set QCODEC_NATIVE=0 to silence this.", reason
        )  # fmt: skip
    _warned.append(reason)


def _library(layers: Layers) -> ctypes.CDLL:
    compiler = _compiler(os.environ.get("CXX"), os.environ.get("PATH"))
    flags = [*_FLAGS, "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"]
    flags += layers.macros()
    version = _run([*compiler, "--version"])
    sources = _SOURCE.read_text(encoding="utf-8"), _HEADER.read_text(encoding="utf-8")
    key = hashlib.sha256("\0".join((*sources, *flags, version, _processor())).encode()).hexdigest()[:32]
    command = [*compiler, *flags, str(_SOURCE), "-o"]
    try:
        folder = _cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return _load(folder, key) or _build(folder, key, command)
    except OSError:  # the folder cannot be written, or no library may be loaded from it
        with tempfile.TemporaryDirectory(prefix="qcodec-") as private:
            return _build(Path(private), key, command)


def _load(folder: Path, key: str) -> ctypes.CDLL | None:
    """Load a library whose name states its digest; loading a damaged file could end the process."""
    for path in sorted(folder.glob(f"stack-{key}-*.so")):
        if path.stem.rpartition("-")[2] == _digest(path):
            return ctypes.CDLL(str(path))
        path.unlink(missing_ok=True)
    return None


def _build(folder: Path, key: str, command: Sequence[str]) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as private:
        new = Path(private) / "stack.so"
        _run([*command, str(new)])
        path = folder / f"stack-{key}-{_digest(new)}.so"
        os.replace(new, path)  # at once: another process may be building or loading the same
    return ctypes.CDLL(str(path))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _run(command: Sequence[str]) -> str:
    """Run a command and give its output; a RuntimeError says in one line why it failed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        reason = "took too long" if isinstance(error, subprocess.TimeoutExpired) else f"did not start: {error}"
        raise RuntimeError(f"{command[0]} {reason}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["no message"]
        raise RuntimeError(f"{command[0]} failed with exit status {done.returncode}: {lines[0].strip()[:200]}")
    return done.stdout


def _compiler(chosen: str | None, path: str | None) -> list[str]:
    for candidate in [chosen] if chosen else ["c++", "g++", "clang++"]:
        program, *arguments = shlex.split(candidate) or [""]
        if found := shutil.which(program, path=path):
            return [found, *arguments]
    raise RuntimeError(f"CXX={chosen} was not found" if chosen else "no C++ compiler was found")


def _cache_folder() -> Path:
    if chosen := os.environ.get("QCODEC_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "qcodec"
    except RuntimeError as error:
        raise OSError("the user has no home folder") from error


def _processor() -> str:
    """Describe the processor: a home folder may be shared by machines that cannot run each other's code."""
    described = [platform.system(), platform.machine(), platform.processor()]
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return "\n".join(described)
    wanted = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU part", "CPU implementer")
    rows = (row for row in info.splitlines() if row.partition(":")[0].strip() in wanted)
    return "\n".join([*described, *rows])


def _openmp() -> int | None:
    """Give the address of ``GOMP_parallel`` in the runtime that PyTorch itself is linked with, where it has one."""
    try:
        return ctypes.cast(ctypes.CDLL(torch._C.__file__).GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None
