"""Which folder a run writes to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qcodec.runs.schema import CHECKPOINTS, METRICS

_INHERITED = "QCODEC_RUN_DIR"  # from the first process to the ranks that it starts


@contextmanager
def shared_folder() -> Iterator[None]:
    """Return a context in which started ranks inherit the folder; later commands choose anew."""
    inherited = os.environ.get(_INHERITED)
    try:
        yield
    finally:
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
        folder = _new_folder(Path("runs") / recipe)
    else:
        folder = wanted
        begun = (folder / METRICS).exists() or any(folder.glob(f"{CHECKPOINTS}/*.ckpt"))
        if resuming is None and begun and not _is_later_rank():
            raise ValueError(
                f"{folder} holds a run already: give another --run_dir, or resume it with "
                f"--ckpt_path {folder / CHECKPOINTS / 'last.ckpt'}"
            )
    os.environ[_INHERITED] = str(folder)
    return folder


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
