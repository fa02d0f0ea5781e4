"""Which folder a run writes to."""

import itertools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from qcodec.runs.schema import CHECKPOINTS, METRICS

_log = logging.getLogger(__name__)
_LOCK = ".lock"
_locks: dict[Path, FileLock] = {}  # that this process has
_INHERITED = "QCODEC_RUN_DIR"  # from the first process to the ranks that it starts


@contextmanager
def shared_folder() -> Iterator[None]:
    """Return a context in which started ranks inherit the folder; later commands choose anew."""
    inherited = os.environ.get(_INHERITED)
    try:
        yield
    finally:
        release_folders()
        if inherited is None:
            os.environ.pop(_INHERITED, None)


def training_folder(wanted: Path | None, recipe: str, resuming: Path | None) -> Path:
    """Choose the folder of a ``fit``: the one wanted, that of the checkpoint to resume from, or a new one.

    Raises:
        ValueError: Where the folder holds another run already, or each of several ranks would choose its own.
    """
    if inherited := os.environ.get(_INHERITED):
        return Path(inherited)
    if wanted is None and resuming is not None:
        wanted = run_of(resuming)
    if wanted is None:
        if max(int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "SLURM_NTASKS")) > 1:
            raise ValueError("several ranks were started from outside, without a common folder: give --run_dir DIR")
        wanted = _new_folder(Path("runs") / recipe)
    if not _is_later_rank():
        _take(wanted)
        if resuming is None:
            _begin_in(wanted)
    os.environ[_INHERITED] = str(wanted)
    return wanted


def _take(folder: Path) -> None:
    """Keep other fits from a folder as long as this process lives, and remove what a killed one left half written.

    Raises:
        ValueError: Where another fit has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / _LOCK).resolve()
    if path not in _locks:
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(
                f"another fit is writing to {folder}: wait until it ends, or give another --run_dir"
            ) from None
        except OSError as error:  # a file system without locks
            _log.warning("%s cannot be locked (%s): let no other fit write to it", folder, error)
            return
        _locks[path] = lock
    for part in [*folder.glob(".*.part"), *folder.glob(f"{CHECKPOINTS}/.*.part")]:
        part.unlink(missing_ok=True)


def is_being_written(folder: Path) -> bool:
    """Return whether a fit, of this process or another one, is writing to a folder now."""
    path = (folder / _LOCK).resolve()
    if path in _locks:
        return True
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def release_folders() -> None:
    """Let other fits of this process or others write to the folders that this one has taken."""
    while _locks:
        _locks.popitem()[1].release()


def _begin_in(folder: Path) -> None:
    """Check that a new run may begin in a folder: in one whose run has no checkpoint its table is put aside.

    Raises:
        ValueError: Where it holds a run that can be resumed.
    """
    checkpoints = sorted(folder.glob(f"{CHECKPOINTS}/*.ckpt"), key=lambda path: path.stat().st_mtime)
    if checkpoints:
        raise ValueError(
            f"{folder} holds a run already: give another --run_dir, or resume it with --ckpt_path {checkpoints[-1]}"
        )
    table = folder / METRICS
    if table.exists():
        number = next(n for n in itertools.count(1) if not (folder / f"{METRICS}.{n}").exists())
        table.rename(folder / f"{METRICS}.{number}")
        _log.warning(
            "%s holds a run without a checkpoint: a new one begins, its table is %s.%d", folder, METRICS, number
        )


def measuring_folder(wanted: Path | None, recipe: str, checkpoint: Path | None) -> Path:
    """Choose the folder of the other commands: the one wanted, the checkpoint's run, or a new one."""
    if wanted is not None:
        return wanted
    return run_of(checkpoint) if checkpoint else _new_folder(Path("runs") / recipe)


def _is_later_rank() -> bool:
    return any(int(os.environ.get(name, "0")) > 0 for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def run_of(checkpoint: Path) -> Path:
    """Return the folder of the run that wrote a checkpoint."""
    folder = checkpoint.resolve().parent
    return folder.parent if folder.name == CHECKPOINTS else folder


def _new_folder(parent: Path) -> Path:
    """Make the folder with the next free number; of two runs that start at once, each gets its own."""
    parent.mkdir(parents=True, exist_ok=True)
    number = max((int(p.name) + 1 for p in parent.iterdir() if p.name.isdecimal()), default=0)
    while True:
        folder = parent / str(number)
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
