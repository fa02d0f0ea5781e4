"""Weight files of the Descript Audio Codec, both ways."""

import inspect
from os import PathLike
from typing import BinaryIO

import torch

from qcodec.codecs.allocator_settings import allocator_from, allocator_settings
from qcodec.codecs.dac.codec import DacCodec
from qcodec.codecs.dac.package import DAC, published_weight_norm
from qcodec.codecs.dac.weight_file import WeightFile, read_weight_file
from qcodec.quantizers.allocators import AllCodebooks, CodebookDropout, RateAllocator
from qcodec.quantizers.estimators import GradientEstimator
from qcodec.quantizers.residual import ResidualVQ

_ALLOCATOR = "quantizer.allocator."  # what the names of an allocator's weights begin with


def load_dac(
    path: str | PathLike[str], estimator: GradientEstimator | None = None, allocator: RateAllocator | None = None
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
        codec = DacCodec(ResidualVQ(latent, **sizes, allocator=allocator, estimator=estimator), **kwargs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: the sizes in its metadata make no codec: {error}") from None
    try:
        codec.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: its weights do not fit the sizes in its metadata: {reason}") from None
    return codec


def _allocator_of(file: WeightFile, dropout: float, path: str | PathLike[str]) -> RateAllocator:
    if "allocator" not in file.qcodec:
        return CodebookDropout(dropout) if dropout else AllCodebooks()
    try:
        return allocator_from(file.qcodec["allocator"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def export_dac(codec: DacCodec, path: str | PathLike[str] | BinaryIO) -> None:
    """Write a weight file that ``dac.DAC.load`` and ``python -m dac encode --weights_path`` take.

    The published program does not mend the length of odd strides. With such strides what it decodes at once is a few
    samples short (8 at 16 kHz) and differs from ``DacCodec`` towards the end; clips shorter than its window that fill
    their last frame to within those samples it cannot decode at all, whatever the weights: give it a ``--win_duration``
    shorter than the clip.

    An ``ImportanceMask`` and its weights are written beside what ``dac`` knows: ``load_dac`` gives back the very
    codec, while ``dac`` passes over them and sends every codebook.

    Raises:
        ValueError: For a quantizer other than ``ResidualVQ``, one with weights that ``dac`` has no place for, or an
            allocator that is not of this project.
    """
    quantizer = codec.quantizer
    if not isinstance(quantizer, ResidualVQ):
        raise ValueError(f"{type(quantizer).__name__} has no counterpart in `dac`: only a ResidualVQ can be exported")
    dims = quantizer.codebook_dims
    settings = allocator_settings(quantizer.allocator)
    kwargs = {
        "encoder_dim": codec.encoder_dim,
        "encoder_rates": list(codec.encoder_rates),
        "latent_dim": codec.latent_dim,
        "decoder_dim": codec.decoder_dim,
        "decoder_rates": list(codec.decoder_rates),
        "n_codebooks": quantizer.n_codebooks,
        "codebook_size": quantizer.codebook_size,
        "codebook_dim": dims[0] if len(set(dims)) == 1 else list(dims),
        "quantizer_dropout": settings.get("probability", 0.0),
        "sample_rate": codec.sample_rate,
    }
    with published_weight_norm(), torch.device("meta"):
        known = set(DAC(**kwargs).state_dict())
        known |= {f"{_ALLOCATOR}{name}" for name in allocator_from(settings).state_dict()}
    state = {name: value.detach().cpu().clone() for name, value in codec.state_dict().items()}
    if extra := sorted(set(state) - known):
        raise ValueError(f"`dac` has no place for the weights {', '.join(extra)}: export a codec without them")
    torch.save({"state_dict": state, "metadata": {"kwargs": kwargs, "qcodec": {"allocator": settings}}}, path)
