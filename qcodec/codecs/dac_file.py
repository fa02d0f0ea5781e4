"""Weight files of the Descript Audio Codec, both ways."""

import inspect
from os import PathLike

import torch

from qcodec.codecs.dac import DacCodec
from qcodec.codecs.dac_package import DAC, published_weight_norm
from qcodec.codecs.weight_file import read_weight_file
from qcodec.quantizers.allocators import AllCodebooks, CodebookDropout, RateAllocator
from qcodec.quantizers.estimators import GradientEstimator
from qcodec.quantizers.residual import ResidualVQ


def load_released(
    path: str | PathLike[str], estimator: GradientEstimator | None = None, allocator: RateAllocator | None = None
) -> DacCodec:
    """Build a codec from a weight file of ``dac``: a dictionary with ``state_dict`` and ``metadata``.

    Sizes are those of the file, which is read as data; nothing in it is run.

    Args:
        path: File such as ``weights_16khz.pth``, or one that ``export_dac`` or ``dac.DAC.save(package=False)`` wrote.
        estimator: How gradients pass in fine-tuning; a straight-through estimator if left out.
        allocator: Which codebooks are sent; if left out the file's codebook dropout. ``export_dac`` writes that,
            ``dac`` does not: its files, the released ones among them, say none.

    Raises:
        ValueError: For a file that could only be read by running code from it, one without the two entries, or
            weights that do not fit the sizes.
        OSError: Where the file cannot be opened.
    """
    file = read_weight_file(path)
    defaults = {name: value.default for name, value in inspect.signature(DAC).parameters.items()}
    kwargs = {name: file.kwargs.get(name, default) for name, default in defaults.items()}
    dropout = float(kwargs.pop("quantizer_dropout"))
    latent = kwargs["latent_dim"] or kwargs["encoder_dim"] * 2 ** len(kwargs["encoder_rates"])
    sizes = {name: kwargs.pop(name) for name in ("n_codebooks", "codebook_size", "codebook_dim")}
    if allocator is None:
        allocator = CodebookDropout(dropout) if dropout else AllCodebooks()
    codec = DacCodec(ResidualVQ(latent, **sizes, allocator=allocator, estimator=estimator), **kwargs)
    try:
        codec.load_state_dict(file.state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: its weights do not fit the sizes in its metadata: {reason}") from None
    return codec


def export_dac(codec: DacCodec, path: str | PathLike[str]) -> None:
    """Write a weight file that ``dac.DAC.load`` and ``python -m dac encode --weights_path`` take.

    The published program does not mend the length of odd strides. With such strides what it decodes at once is a few
    samples short (8 at 16 kHz) and differs from ``DacCodec`` towards the end; clips shorter than its window that fill
    their last frame to within those samples it cannot decode at all, whatever the weights: give it a ``--win_duration``
    shorter than the clip.

    Raises:
        ValueError: For a quantizer other than ``ResidualVQ``, or one with weights that ``dac`` has no place for.
    """
    quantizer = codec.quantizer
    if not isinstance(quantizer, ResidualVQ):
        raise ValueError(f"{type(quantizer).__name__} has no counterpart in `dac`: only a ResidualVQ can be exported")
    dims = quantizer.codebook_dims
    dropout = getattr(quantizer.allocator, "probability", 0.0)
    kwargs = {
        "encoder_dim": codec.encoder_dim,
        "encoder_rates": list(codec.encoder_rates),
        "latent_dim": codec.latent_dim,
        "decoder_dim": codec.decoder_dim,
        "decoder_rates": list(codec.decoder_rates),
        "n_codebooks": quantizer.n_codebooks,
        "codebook_size": quantizer.codebook_size,
        "codebook_dim": dims[0] if len(set(dims)) == 1 else list(dims),
        "quantizer_dropout": dropout,
        "sample_rate": codec.sample_rate,
    }
    with published_weight_norm(), torch.device("meta"):
        known = DAC(**kwargs).state_dict()
    state = {name: value.detach().cpu().clone() for name, value in codec.state_dict().items()}
    if extra := sorted(set(state) - set(known)):
        raise ValueError(f"`dac` has no place for the weights {', '.join(extra)}: export a codec without them")
    torch.save({"state_dict": state, "metadata": {"kwargs": kwargs}}, path)
