"""Reading weight files as data, so that nothing in them is run."""

import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from qcodec.runs.checkpoint import check_zip


@final
@dataclass(frozen=True)
class WeightFile:
    """A weight file of the Descript Audio Codec.

    Attributes:
        content: All that it holds: ``state_dict``, ``metadata`` with ``kwargs``, and what else its writer kept.
    """

    content: Mapping[str, Any]

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Tensors by their names in the model."""
        state: Mapping[str, Tensor] = self.content["state_dict"]
        return state

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Arguments that the model was built with."""
        kwargs: Mapping[str, Any] = self.content["metadata"]["kwargs"]
        return kwargs

    @property
    def qcodec(self) -> Mapping[str, Any]:
        """What ``export_dac`` wrote beside them and ``dac`` passes over."""
        beside: Mapping[str, Any] = self.content["metadata"].get("qcodec", {})
        return beside


def with_extras(content: Mapping[str, Any], extras: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return a weight file's content with tensors among what ``dac`` passes over."""
    beside = {**content["metadata"].get("qcodec", {}), **({"extras": dict(extras)} if extras else {})}
    return {**content, "metadata": {**content["metadata"], **({"qcodec": beside} if beside else {})}}


def read_weight_file(path: str | PathLike[str]) -> WeightFile:
    """Read a dictionary with ``state_dict`` and ``metadata``, whose ``kwargs`` are the model's arguments.

    Raises:
        ValueError: For a file that could only be read by running code from it, a damaged one, or other content; with
            the way round it.
        OSError: Where the file cannot be opened.
    """
    with open(path, "rb"):  # what opens and then fails is damaged
        check_zip(Path(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} {_why_not(path, error)}") from None
    metadata = content.get("metadata") if isinstance(content, Mapping) else None
    parts = (metadata.get("kwargs"), content.get("state_dict")) if isinstance(metadata, Mapping) else ()
    named = all(isinstance(part, Mapping) and all(isinstance(name, str) for name in part) for part in parts)
    if not isinstance(metadata, Mapping) or not named:
        if isinstance(content, Mapping) and "pytorch-lightning_version" in content:
            raise ValueError(
                f"{path} is the checkpoint of a run: let its name end in .ckpt, or make a weight file of it with "
                f"`qcodec export {path} OUT.pth`"
            )
        raise ValueError(
            f"{path} is no weight file of `dac`: it must hold 'state_dict', and 'metadata' with 'kwargs', "
            "as `dac.DAC.save(path, package=False)` writes them"
        )
    beside = metadata.get("qcodec", {})
    if not isinstance(beside, Mapping):
        raise ValueError(f"{path} is damaged: 'qcodec' in its metadata is no dictionary but {type(beside).__name__}")
    return WeightFile(content)


def _why_not(path: str | PathLike[str], error: Exception) -> str:
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # a damaged one has no names
        if any(name.endswith(".data/extern_modules") for name in archive.namelist()):
            return (
                "is a torch.package, which brings code of its own and is not run: if you trust its source, write "
                "plain weights with `dac.DAC.load(path).save(new_path, package=False)`"
            )
    lines = str(error).splitlines() or [""]
    if not isinstance(error, pickle.UnpicklingError) or not any("Unsupported" in line for line in lines):
        return f"is damaged or no weight file ({type(error).__name__}): fetch or write it again"
    reason = next(line for line in lines if "Unsupported" in line).strip()
    return (
        f"needs code to be run in order to be read, and is refused ({reason}). If you trust its source, read it with "
        "`torch.load(path, weights_only=False)`, and write 'state_dict' and the 'kwargs' of 'metadata' to a new file"
    )
