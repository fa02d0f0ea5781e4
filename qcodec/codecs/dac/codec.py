"""The Descript Audio Codec (DAC) around any quantizer, and a line that patches an existing one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qcodec.codecs.base import AudioCodec, Embedding
from qcodec.codecs.dac.package import (
    DAC,
    Decoder,
    Encoder,
    Snake1d,
    VectorQuantize,
    init_weights,
    published_weight_norm,
)
from qcodec.codecs.receptive_field import decoder_field, encoder_field
from qcodec.layers.snake import Snake
from qcodec.quantizers.allocators import CodebookDropout
from qcodec.quantizers.base import Quantizer
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import Estimator
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.quantizers.residual import residual_vq


@final
class DacCodec(AudioCodec):
    """Encoder and decoder of the Descript Audio Codec (arXiv 2306.06546, section 3.1) around any quantizer.

    The defaults are those of the 16 kHz model. Encoder and decoder are those of ``dac``, with its initial weights and
    its names, but decode to full length: with an odd stride the published decoder loses samples, and
    ``keep_length`` corrects that without a change of weights.

    Args:
        quantizer: Quantizer of ``latent_dim`` channels; if left out 12 codebooks of 1024 codes of 8 dimensions with
            codebook dropout of 0.5, as published.
        encoder_dim: Channels after the encoder's first layer; each stride doubles them.
        encoder_rates: Strides of the encoder, 2 or more each; their product is ``hop_length`` in samples.
        latent_dim: Channels of the embedding; those of the encoder's last block if left out.
        decoder_dim: Channels after the decoder's first layer; each stride halves them.
        decoder_rates: Strides of the decoder; the encoder's backwards if left out.
        sample_rate: Sampling rate in Hz that the codec is for.

    Raises:
        ValueError: For a stride below 2, or strides of encoder and decoder with different products.

    Example:
        >>> quantizer = residual_vq(dim=16, n_codebooks=2, codebook_size=32, codebook_dim=4)
        >>> codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8).eval()
        >>> output = codec(torch.randn(1, 1, 123))
        >>> output.audio.shape, output.z.shape, output.quantized.codes.shape
        (torch.Size([1, 1, 123]), torch.Size([1, 16, 13]), torch.Size([1, 2, 13]))
    """

    def __init__(
        self,
        quantizer: Quantizer | None = None,
        encoder_dim: int = 64,
        encoder_rates: Sequence[int] = (2, 4, 5, 8),
        latent_dim: int | None = None,
        decoder_dim: int = 1536,
        decoder_rates: Sequence[int] | None = None,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__()
        rates = list(encoder_rates)
        back = rates[::-1] if decoder_rates is None else list(decoder_rates)
        if min(rates + back, default=0) < 2 or math.prod(rates) != math.prod(back):
            raise ValueError(
                f"encoder_rates={rates} and decoder_rates={back} must be strides of 2 or more with equal products"
            )
        self.encoder_dim, self.decoder_dim, self.sample_rate = encoder_dim, decoder_dim, sample_rate
        self.encoder_rates, self.decoder_rates = tuple(rates), tuple(back)
        self.latent_dim = encoder_dim * 2 ** len(rates) if latent_dim is None else latent_dim
        if quantizer is None:
            quantizer = residual_vq(self.latent_dim, allocator=CodebookDropout(0.5))
        check_is(quantizer, Quantizer, "quantizer")
        with published_weight_norm(), torch.no_grad():  # leaves nothing attached: it can be copied
            self.encoder = Encoder(encoder_dim, rates, self.latent_dim).apply(init_weights)
            self.quantizer = quantizer
            self.decoder = Decoder(self.latent_dim, decoder_dim, back).apply(init_weights)
        keep_length(self.decoder)
        replace_snakes(self)

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.encoder_rates)

    @property
    def channels(self) -> int:
        """Channels of the embedding."""
        return self.latent_dim

    @property
    def encoder_field(self) -> ReceptiveField:
        """That of the encoder's convolutions."""
        return encoder_field(self.encoder.modules(), self.hop_length)

    @property
    def decoder_field(self) -> ReceptiveField:
        """That of the decoder's convolutions."""
        return decoder_field(self.decoder.modules(), self.hop_length)

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the decoder's sizes and weights: files stay good when the encoder is trained on."""
        sizes = {"sample_rate": self.sample_rate, "decoder_rates": self.decoder_rates, "latent_dim": self.latent_dim}
        return {"class": "DacCodec", **sizes, "decoder_dim": self.decoder_dim, **self.decoder.state_dict()}

    def dac_arguments(self) -> Mapping[str, Any] | None:
        """Return them where the quantizer has a counterpart."""
        arguments = self.quantizer.deployed().dac_arguments()
        own = {
            "encoder_dim": self.encoder_dim,
            "encoder_rates": list(self.encoder_rates),
            "latent_dim": self.latent_dim,
            "decoder_dim": self.decoder_dim,
            "decoder_rates": list(self.decoder_rates),
            "sample_rate": self.sample_rate,
        }
        return None if arguments is None else {**own, **arguments}

    def embed(self, x: Tensor) -> Embedding:
        """Encode audio ``(B, 1, L)``, padded with zeros at its end to a whole number of frames.

        Returns:
            The embedding ``(B, D, T)`` with ``T = ceil(L / hop_length)`` and the output of the last encoder block,
            ``(B, encoder_dim * 2 ** len(encoder_rates), T)``.

        Raises:
            ValueError: For another shape or no samples.
        """
        if x.dim() != 3 or x.shape[1] != 1 or x.shape[2] == 0 or not x.is_floating_point():
            raise ValueError(
                f"DacCodec takes floating audio of shape (B, 1, L), not {x.dtype} of shape {tuple(x.shape)}: "
                "give channels as clips of their own"
            )
        features: Tensor = self.encoder.block[:-2](F.pad(x, (0, -x.shape[-1] % self.hop_length)))
        z: Tensor = self.encoder.block[-2:](features)
        return Embedding(z, features)

    def synthesize(self, z_hat: Tensor) -> Tensor:
        """Decode an embedding ``(B, D, T)`` to audio ``(B, 1, T * hop_length)``."""
        x: Tensor = self.decoder(z_hat)
        return x


def keep_length(decoder: nn.Module) -> None:
    """Correct the length of a DAC decoder in place: with an odd stride each transposed convolution loses one sample.

    Works on a whole ``dac.DAC`` as well. Weights stay as they are; even strides are not touched.

    Example:
        >>> layer = nn.ConvTranspose1d(1, 1, kernel_size=10, stride=5, padding=3)
        >>> keep_length(layer)
        >>> layer(torch.zeros(1, 1, 4)).shape
        torch.Size([1, 1, 20])
    """
    for module in decoder.modules():
        if isinstance(module, nn.ConvTranspose1d):
            module.output_padding = (module.stride[0] % 2,)


def replace_snakes(module: nn.Module) -> None:
    """Replace every ``Snake1d`` of ``dac`` by a ``Snake`` with its weights."""
    for name, child in module.named_children():
        if isinstance(child, Snake1d):
            setattr(module, name, Snake(child.alpha))
        else:
            replace_snakes(child)


def patch_dac(model: nn.Module, estimator: Estimator) -> nn.Module:
    """Replace the straight-through estimator of a ``dac.DAC`` in place: one line in a training script.

    The estimator acts in the projected space of each codebook. Weights and their names stay; in evaluation the
    quantized value passes unchanged. A second call replaces the first one's estimator. With an estimator that is not
    exact the model's later codebooks refine its noise too; those of ``ResidualVQ`` refine what is sent.

    Args:
        model: A ``dac.DAC``, or any module with quantizers of ``dac`` in it.
        estimator: The estimator, built anew for each codebook.

    Returns:
        The same model.

    Raises:
        TypeError: For a class or another object in the place of an estimator.
        ValueError: For a model without a quantizer of ``dac``.

    Example:
        >>> import dac
        >>> from qcodec import ModifiedSTE, patch_dac
        >>> model = patch_dac(dac.nn.quantize.ResidualVectorQuantize(16, 2, 32, 4), estimator=ModifiedSTE())
    """
    check_is(estimator, Estimator, "estimator")
    stages = [module for module in model.modules() if isinstance(module, VectorQuantize)]
    if not stages:
        raise ValueError(f"{type(model).__name__} holds no VectorQuantize of `dac`: give a dac.DAC")
    for stage in stages:
        if not hasattr(stage, "estimator"):
            stage.register_forward_hook(_with_estimator)
        stage.estimator = estimator.rebuild().train(stage.training)
    for module in model.modules():
        if isinstance(module, DAC) and "qcodec.**" not in module.EXTERN:
            module.EXTERN = [*module.EXTERN, "qcodec.**"]  # lets the model still be saved as a torch.package
    return model


@final
class _DacCodebook(Codebook):
    """The points of a ``VectorQuantize`` of ``dac``, for one call."""

    metric = "cosine"

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.size, self.dim = weight.shape

    def vectors(self) -> Tensor:
        """Return the points."""
        return self.weight


def _with_estimator(stage: Any, _: object, output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    _, _, _, _, latent = output
    selected = stage.estimator.select(latent, _DacCodebook(stage.codebook.weight))
    commitment = (latent - selected.z_q.detach()).square().mean((1, 2))
    codebook = (selected.z_q - latent.detach()).square().mean((1, 2))
    return stage.out_proj(selected.z_hat), commitment, codebook, selected.codes[:, 0], latent
