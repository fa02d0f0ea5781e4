"""Build C++ kernels at first use, keep them in a cache folder, and load them."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

_FOLDER = Path(__file__).parent
# Not -ffast-math: a member that diverges to infinity or NaN has to stay visible.
_FLAGS = ("-O3", "-std=gnu++17", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
          "-fopenmp-simd", "-fPIC", "-shared")  # fmt: skip
_TIMEOUT = 300.0  # seconds for one compilation, which takes one to a few
_log = logging.getLogger(__name__)


def suits(*tensors: Tensor) -> bool:
    """Return whether C++ kernels may take these tensors: plain float32 on the CPU, and not switched off."""
    return all(t.dtype == torch.float32 and t.is_cpu for t in tensors) and untransformed(*tensors)


def untransformed(*tensors: Tensor) -> bool:
    """Return whether kernels, which PyTorch cannot trace, may take these tensors, and are not switched off."""
    if any(type(t) not in (Tensor, nn.Parameter) or t.numel() == 0 for t in tensors):
        return False
    transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    return not transformed and os.environ.get("QCODEC_KERNELS") != "0"


def built(source: str, *macros: str) -> ctypes.CDLL | None:
    """Return the library of a source file, compiled if need be; ``None``, after one warning, where that fails."""
    try:
        return _library(source, macros)
    except (OSError, RuntimeError) as error:
        _warn_once(str(error))
        return None


_warned: list[str] = []


def _warn_once(reason: str) -> None:
    if not _warned:
        _log.warning(
            "The C++ kernels are not available (%s), so PyTorch's operations are used, several times slower for "
            "the surrogate codec. Install a C++ compiler such as g++, or set QCODEC_KERNELS=0 to silence this.", reason
        )  # fmt: skip
    _warned.append(reason)


def _library(source: str, macros: Sequence[str]) -> ctypes.CDLL:
    compiler = _compiler(os.environ.get("CXX"), os.environ.get("PATH"))
    flags = [*_FLAGS, "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"]
    flags += macros
    version = _run([*compiler, "--version"])
    texts = [path.read_text(encoding="utf-8") for path in (_FOLDER / source, *sorted(_FOLDER.glob("*.h")))]
    key = hashlib.sha256("\0".join((*texts, *flags, version, _processor())).encode()).hexdigest()[:32]
    command = [*compiler, *flags, str(_FOLDER / source), "-o"]
    name = f"{Path(source).stem}-{key}"
    try:
        folder = _cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return _load(folder, name) or _build(folder, name, command)
    except OSError:  # the folder cannot be written, or no library may be loaded from it
        with tempfile.TemporaryDirectory(prefix="qcodec-") as private:
            return _build(Path(private), name, command)


def _load(folder: Path, name: str) -> ctypes.CDLL | None:
    """Load a library whose name states its digest; loading a damaged file could end the process."""
    for path in sorted(folder.glob(f"{name}-*.so")):
        if path.stem.rpartition("-")[2] == _digest(path):
            return ctypes.CDLL(str(path))
        path.unlink(missing_ok=True)
    return None


def _build(folder: Path, name: str, command: Sequence[str]) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as private:
        new = Path(private) / "new.so"
        _run([*command, str(new)])
        path = folder / f"{name}-{_digest(new)}.so"
        os.replace(new, path)  # at once: another process may be building or loading the same
    return ctypes.CDLL(str(path))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _run(command: Sequence[str]) -> str:
    """Run a command and return its output; raise a RuntimeError whose one line names the cause."""
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


@functools.cache
def parallel_runtime() -> int | None:
    """Return the address of ``GOMP_parallel`` in PyTorch's own OpenMP runtime; ``None`` where it has another."""
    try:
        return ctypes.cast(ctypes.CDLL(torch._C.__file__).GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None
