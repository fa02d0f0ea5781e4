"""A trained codec in a file, whatever it is made of: written by ``export``, and read from it, a run or ``dac``'s files.

A file of qcodec's own ends in ``.safetensors``: tensors by their names, and in its metadata the classes and arguments
that the codec is made of, as JSON. Nothing in any of the files is run; classes outside of qcodec are built only where
their module is trusted.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, final

import torch
from torch import Tensor

from qcodec.codecs.base import AudioCodec
from qcodec.codecs.dac.weight_file import read_weight_file, with_extras
from qcodec.codecs.dac.weights import export_dac, load_dac
from qcodec.codecs.finite import check_weights
from qcodec.quantizers.rebuild import build_as, settings_of
from qcodec.runs.checkpoint import read_checkpoint, write_torch
from qcodec.runs.schema import CHECKPOINTS

OWN = ".safetensors"
_DIGEST = "sha256"
SETTINGS = "codec"  # in a checkpoint, and in the metadata of a file of qcodec's own
_EXTRA = ".extra."  # begins the names of tensors beside the weights; no name of a weight begins with a dot


@final
@dataclass(frozen=True)
class ModelFile:
    """What a model's file holds.

    Attributes:
        codec: The codec, in evaluation.
        extras: Tensors beside its weights, such as fitted tables.
        content: All of the weight file of ``dac`` that it was read from, which is kept where it is written again.
    """

    codec: AudioCodec
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    content: Mapping[str, Any] | None = None


def load_codec(path: str | PathLike[str], trust: Sequence[str] = ()) -> AudioCodec:
    """Load a trained codec.

    Args:
        path: A run folder, a checkpoint of one (``.ckpt``), a file that ``export`` wrote, or a weight file of ``dac``.
        trust: Modules beside qcodec whose classes the codec may be made of; their code is run.

    Raises:
        ValueError: For a file that is none of these, is damaged, or is made of classes that are not trusted.
        OSError: Where it cannot be opened.
    """
    return read_model(path, trust).codec


def read_model(path: str | PathLike[str], trust: Sequence[str] = ()) -> ModelFile:
    """Read a model's file, as ``load_codec`` does, with what lies in it beside the codec."""
    source = checkpoint_of(Path(path))
    if source.suffix == ".ckpt":
        content = read_checkpoint(source)
        if SETTINGS not in content:
            raise ValueError(
                f"{source} holds no codec: it is the checkpoint of a surrogate, or of an earlier version of qcodec"
            )
        if isinstance(content[SETTINGS], dict) and "error" in content[SETTINGS]:
            raise ValueError(f"{source} cannot tell what its codec is made of: {content[SETTINGS]['error']}")
        weights = content["state_dict"].items()
        state = {name.removeprefix("codec."): value for name, value in weights if name.startswith("codec.")}
        return ModelFile(_built(source, content[SETTINGS], state, trust))
    if source.suffix == OWN:
        return _read_own(source, trust)
    file = read_weight_file(source)
    beside = file.qcodec.get("extras", {})
    if not isinstance(beside, Mapping) or not all(isinstance(value, Tensor) for value in beside.values()):
        raise ValueError(f"{source} is damaged: what lies beside its weights is no tensors")
    return ModelFile(load_dac(source).eval(), beside, file.content)


def checkpoint_of(path: Path) -> Path:
    """Return the last checkpoint of a run folder; any other path as it is.

    Raises:
        ValueError: For a folder without one.
    """
    if not path.is_dir():
        return path
    last = path / CHECKPOINTS / "last.ckpt"
    if not last.is_file():
        raise ValueError(f"{path} holds no {CHECKPOINTS}/last.ckpt: give the folder of a run, or a model's file")
    return last


def write_model(file: BinaryIO, name: str, model: ModelFile) -> None:
    """Write a model to ``file``, in the format of the ending of ``name``: qcodec's own, or ``dac``'s for others.

    Raises:
        ValueError: For a codec without a counterpart in ``dac`` where its format is asked for, or one that is made of
            what cannot be written, or whose weights are not finite.
    """
    check_weights(model.codec)
    if not name.endswith(OWN):
        if model.content is None:
            export_dac(model.codec, file, model.extras)
        else:
            write_torch(with_extras(model.content, model.extras), file)
        return
    from safetensors.torch import save

    state = model.codec.state_dict() | {f"{_EXTRA}{key}": value for key, value in model.extras.items()}
    tensors = {key: _apart(value) for key, value in state.items()}
    file.write(save(tensors, {SETTINGS: json.dumps(settings_of(model.codec)), _DIGEST: _digest(tensors)}))


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all tensors, as safetensors itself checks none."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _apart(value: Tensor) -> Tensor:
    """Return a copy of its own: parts that are used twice share their tensors, which safetensors refuses."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _read_own(source: Path, trust: Sequence[str]) -> ModelFile:
    from safetensors import SafetensorError, safe_open

    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    try:
        with safe_open(source, "pt") as opened:
            metadata = opened.metadata() or {}
            settings = json.loads(metadata[SETTINGS])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a dictionary
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{source} is damaged, or was not written by `qcodec export` ({type(error).__name__})"
        ) from None
    if _DIGEST in metadata and metadata[_DIGEST] != _digest(tensors):
        raise ValueError(f"{source} is damaged: the checksum of its tensors is wrong: give a copy, or export it again")
    extras = {name.removeprefix(_EXTRA): value for name, value in tensors.items() if name.startswith(_EXTRA)}
    state = {name: value for name, value in tensors.items() if not name.startswith(_EXTRA)}
    return ModelFile(_built(source, settings, state, trust), extras)


def _built(source: Path, settings: Any, state: Mapping[str, Tensor], trust: Sequence[str]) -> AudioCodec:
    try:
        with torch.random.fork_rng(devices=[]):
            codec: AudioCodec = build_as(AudioCodec, settings, trust)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    try:
        codec.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{source}: its weights do not fit its settings: {reason}") from None
    return codec.eval()
