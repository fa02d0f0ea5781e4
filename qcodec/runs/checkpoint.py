"""Checkpoints that a fit wrote, read as data."""

import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import torch

_FOLDER = 0x10  # attribute of a folder in a zip, of which PyTorch writes none


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read a Lightning checkpoint; its tensors are mapped from the file, not copied.

    Raises:
        ValueError: Where there is no such file, or it is damaged or something else.
    """
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}: give a file that an earlier run wrote")
    check_zip(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(f"{path} is damaged or no checkpoint: give a file that an earlier run wrote") from error
    if not isinstance(content, dict) or not _named(content.get("state_dict")):
        raise ValueError(f"{path} holds no Lightning checkpoint: give a file that an earlier run wrote")
    return content


def write_torch(content: Any, file: str | PathLike[str] | BinaryIO) -> None:
    """Write as ``torch.save`` does, whose own error does not tell that a disk is full.

    Raises:
        OSError: Where it cannot be written.
    """
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        raise OSError(f"{getattr(file, 'name', file)} cannot be written whole: is the disk full?") from error


def check_zip(path: Path) -> None:
    """Compare the checksums that PyTorch wrote with each tensor: it does not, and would load a flipped bit in silence.

    A file of PyTorch's former format, and what is no file, has none.

    Raises:
        ValueError: With the part that has changed.
    """
    if fault := _fault(path):
        raise ValueError(f"{path} is damaged{fault}: give {_whole_one(path)}")


def _fault(path: Path) -> str:
    """Return what is wrong with a file, in words after its name; empty for nothing."""
    try:
        if not zipfile.is_zipfile(path):
            return ""
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()
            if folder := next((info.filename for info in archive.infolist() if info.external_attr & _FOLDER), None):
                return f": {folder} is marked as a folder"  # of which PyTorch would read nothing, into memory as it is
    except Exception as error:  # a damaged archive can fail in any way
        return f" ({error})"
    return "" if changed is None else f": the checksum of {changed} is wrong"


def _whole_one(path: Path) -> str:
    """Return what can be given in a damaged file's place: the newest whole one beside it, where there is one."""
    beside = [each for each in path.parent.glob(f"*{path.suffix}") if each != path]
    for other in sorted(beside, key=lambda each: each.stat().st_mtime, reverse=True):
        if not _fault(other) and zipfile.is_zipfile(other):
            return f"{other}, which is whole, or a copy"
    return "an earlier one, or a copy"


def _named(state: Any) -> bool:
    return isinstance(state, dict) and all(isinstance(name, str) for name in state)
