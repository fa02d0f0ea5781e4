"""Weight files of the Descript Audio Codec, both ways."""

import inspect
from collections.abc import Mapping
from os import PathLike
from typing import BinaryIO

import torch
from torch import Tensor

from qcodec.codecs.base import AudioCodec
from qcodec.codecs.dac.codec import DacCodec
from qcodec.codecs.dac.package import DAC, published_weight_norm
from qcodec.codecs.dac.weight_file import WeightFile, read_weight_file
from qcodec.codecs.finite import check_weights
from qcodec.quantizers.allocators import AllCodebooks, CodebookDropout, RateAllocator
from qcodec.quantizers.estimators import Estimator
from qcodec.quantizers.rebuild import build_as, settings_of
from qcodec.quantizers.residual import residual_vq
from qcodec.runs.checkpoint import write_torch

_ALLOCATOR = "quantizer.allocator."  # what the names of an allocator's weights begin with


def load_dac(
    path: str | PathLike[str], estimator: Estimator | None = None, allocator: RateAllocator | None = None
) -> DacCodec:
    """Build a codec from a weight file of ``dac``: a dictionary with ``state_dict`` and ``metadata``.

    Sizes are those of the file, which is read as data; nothing in it is run.

    Args:
        path: File such as ``weights_16khz.pth``, or one that ``export_dac`` or ``dac.DAC.save(package=False)`` wrote.
        estimator: How gradients pass in fine-tuning; a straight-through estimator if left out.
        allocator: Which codebooks are sent, with the weights that it comes with; if left out the file's own.
            ``export_dac`` writes that, ``dac`` does not: its files, the released ones among them, send all. So
            ``AllCodebooks()`` gives a constant rate to a model of variable rate, and an ``ImportanceMask`` makes a
            released model one of variable rate that is yet to be tuned.

    Raises:
        ValueError: For a file that could only be read by running code from it, one without the two entries, or
            weights that do not fit the sizes.
        OSError: Where the file cannot be opened.
    """
    file = read_weight_file(path)
    defaults = {name: value.default for name, value in inspect.signature(DAC).parameters.items()}
    kwargs = {name: file.kwargs.get(name, default) for name, default in defaults.items()}
    dropout = float(kwargs.pop("quantizer_dropout"))
    state = dict(file.state)
    sizes = {name: kwargs.pop(name) for name in ("n_codebooks", "codebook_size", "codebook_dim")}
    if allocator is None:
        allocator = _allocator_of(file, dropout, path)
    else:
        own = {f"{_ALLOCATOR}{name}": value for name, value in allocator.state_dict().items()}
        state = {name: value for name, value in state.items() if not name.startswith(_ALLOCATOR)} | own
    try:
        latent = kwargs["latent_dim"] or kwargs["encoder_dim"] * 2 ** len(kwargs["encoder_rates"])
        codec = DacCodec(residual_vq(latent, **sizes, allocator=allocator, estimator=estimator), **kwargs)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: the sizes in its metadata make no codec: {reason}") from None
    try:
        codec.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: its weights do not fit the sizes in its metadata: {reason}") from None
    return codec


def _allocator_of(file: WeightFile, dropout: float, path: str | PathLike[str]) -> RateAllocator:
    settings = file.qcodec.get("allocator")
    if settings is None and "allocator" not in file.qcodec:
        return CodebookDropout(dropout) if dropout else AllCodebooks()
    if isinstance(settings, dict) and set(settings) >= {"name"}:
        raise ValueError(f"{path} was written by an earlier version of qcodec: export its checkpoint again")
    try:
        allocator: RateAllocator = build_as(RateAllocator, settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return allocator


def export_dac(
    codec: AudioCodec, path: str | PathLike[str] | BinaryIO, extras: Mapping[str, Tensor] | None = None
) -> None:
    """Write a weight file that ``dac.DAC.load`` and ``python -m dac encode --weights_path`` take.

    The published program does not mend the length of odd strides. With such strides what it decodes at once is a few
    samples short (8 at 16 kHz) and differs from ``DacCodec`` towards the end; clips shorter than its window that fill
    their last frame to within those samples it cannot decode at all, whatever the weights: give it a ``--win_duration``
    shorter than the clip.

    An ``ImportanceMask`` and its weights are written beside what ``dac`` knows: ``load_dac`` returns the very codec,
    while ``dac`` passes over them and sends every codebook. So are ``extras``, tensors such as fitted tables.

    Raises:
        ValueError: For a codec without a counterpart in ``dac``, one with weights that ``dac`` has no place for, or an
            allocator that is not of this project, or weights that are not finite.
    """
    check_weights(codec)
    arguments = codec.dac_arguments()
    if arguments is None:
        raise ValueError(
            f"{type(codec).__name__} with {type(codec.quantizer).__name__} has no counterpart in `dac`: write a file "
            "of qcodec's own, which ends in .safetensors"
        )
    deployed = codec.quantizer.deployed()
    settings = settings_of(deployed.allocator)
    try:
        allocator = build_as(RateAllocator, settings)
    except ValueError as error:
        raise ValueError(
            f"{error}; or write a file of qcodec's own, which ends in .safetensors, or exchange it first, as in "
            "`codec.quantizer = codec.quantizer.with_allocator(AllCodebooks())`"
        ) from None
    kwargs = {**arguments, "quantizer_dropout": settings["arguments"].get("probability", 0.0)}
    with published_weight_norm(), torch.device("meta"):
        known = set(DAC(**kwargs).state_dict())
        known |= {f"{_ALLOCATOR}{name}" for name in allocator.state_dict()}
    weights = {name: value for name, value in codec.state_dict().items() if not name.startswith("quantizer.")}
    weights |= {f"quantizer.{name}": value for name, value in deployed.state_dict().items()}
    state = {name: value.detach().cpu().clone() for name, value in weights.items()}
    if extra := sorted(set(state) - known):
        raise ValueError(f"`dac` has no place for the weights {', '.join(extra)}: export a codec without them")
    beside = {"allocator": settings, **({"extras": dict(extras)} if extras else {})}
    write_torch({"state_dict": state, "metadata": {"kwargs": kwargs, "qcodec": beside}}, path)
