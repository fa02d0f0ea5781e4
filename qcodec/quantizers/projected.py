"""Linear projections around a stage or a quantizer, which then acts on fewer channels."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

from torch import Tensor

from qcodec.layers.weight_norm import WeightNormConv, full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, QuantizerWrapper, check_embedding, quantized_value
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.frame import FrameOutput, FrameQuantizer, check_channels


@final
class ProjectedStage(FrameQuantizer):
    """A stage between two weight-normalised linear maps, as ``FactorizedVQ`` is for a codebook.

    So an ``LFQ``, a ``BSQ`` or an ``FSQStage`` is a stage for an embedding of any number of channels. Losses are the
    stage's, in its own space.

    Args:
        dim: Channels of the embedding.
        stage: The stage, of a certain number of channels.

    Raises:
        ValueError: For no channels, or a stage of any number of channels.

    Example:
        >>> import torch
        >>> from qcodec import LFQ
        >>> stage = ProjectedStage(dim=16, stage=LFQ(bits=6)).eval()
        >>> stage(torch.randn(2, 16, 10)).z_hat.shape, stage.size
        (torch.Size([2, 16, 10]), 64)
    """

    def __init__(self, dim: int, stage: FrameQuantizer) -> None:
        super().__init__()
        check_is(stage, FrameQuantizer, "stage")
        if dim < 1 or stage.dim is None:
            raise ValueError(f"dim={dim} must be 1 or more, around a stage of fixed channels (here {stage.dim})")
        self.dim, self.size = dim, stage.size
        self.in_proj, self.out_proj = WeightNormConv(dim, stage.dim), WeightNormConv(stage.dim, dim)
        self.stage = stage

    @property
    def exact(self) -> bool:
        """As the stage."""
        return self.stage.exact

    def deployed(self) -> Quantizer:
        """Return the projections around what acts of the stage in evaluation."""
        inside = self.stage.deployed()
        return self if inside is self.stage else self._with(stage=inside.train(self.training))

    def quantize(self, z: Tensor) -> FrameOutput:
        """Project, quantize by the stage and project back."""
        inside = self.stage.quantize(self.in_proj(z))
        z_hat = self.out_proj(inside.z_hat)
        z_q = quantized_value(self.out_proj, z_hat, inside.z_q, self.exact or not self.training)
        return FrameOutput(inside.codes, z_hat, z_q, inside.latents, inside.losses)

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Project what the stage makes of codes back."""
        embedding: Tensor = self.out_proj(self.stage.embed_codes(codes))
        return embedding

    def observe(self, output: FrameOutput, sent: Tensor) -> None:
        """Pass what was sent to the stage, whose codebook may learn from it."""
        self.stage.observe(output, sent)

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the stage, and the projection back."""
        return _identity("stage", self.stage, self.out_proj)


@final
class ProjectedQuantizer(QuantizerWrapper):
    """A quantizer of ``inner_dim`` channels between two weight-normalised linear maps: a linear bottleneck.

    Losses are the other quantizer's, in its own space.

    Args:
        dim: Channels of the embedding.
        inner_dim: Channels that are quantized.
        quantizer: What quantizes them.

    Raises:
        ValueError: For no channels.

    Example:
        >>> import torch
        >>> from qcodec import residual_fsq
        >>> quantizer = ProjectedQuantizer(dim=16, inner_dim=3, quantizer=residual_fsq((8, 5, 5), n_stages=2)).eval()
        >>> quantizer(torch.randn(2, 16, 10)).z_hat.shape, quantizer.code_sizes(16)
        (torch.Size([2, 16, 10]), (200, 200))
    """

    def __init__(self, dim: int, inner_dim: int, quantizer: Quantizer) -> None:
        super().__init__(quantizer)
        if dim < 1 or inner_dim < 1:
            raise ValueError(f"dim={dim} and inner_dim={inner_dim} must be 1 or more")
        self.dim, self.inner_dim = dim, inner_dim
        self.in_proj, self.out_proj = WeightNormConv(dim, inner_dim), WeightNormConv(inner_dim, dim)

    @property
    def entries_independent(self) -> bool:
        """No: it has weights."""
        return False

    def deployed(self) -> Quantizer:
        """Return the projections around what acts of the other quantizer in evaluation."""
        inside = self.quantizer.deployed()
        return self if inside is self.quantizer else self._with(quantizer=inside.train(self.training))

    def code_sizes(self, channels: int) -> tuple[int, ...] | None:
        """Return those of the other quantizer for the inner channels."""
        return self.quantizer.code_sizes(self.inner_dim)

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Project, quantize and project back; ``features`` and ``level`` are the other quantizer's."""
        check_embedding(z, "ProjectedQuantizer")
        check_channels(z, "ProjectedQuantizer", self.dim)
        with full_precision(z):
            latents = self.in_proj(z.to(self.in_proj.bias.dtype))
            output: QuantizerOutput = self.quantizer(latents, features=features, level=level)
            z_hat = self.out_proj(output.z_hat)
            z_q = quantized_value(self.out_proj, z_hat, output.z_q, self.exact or not self.training)
        return replace(output, z_hat=z_hat.to(z.dtype), z_q=z_q.to(z.dtype), latents=latents)

    def decode(self, codes: Tensor) -> Tensor:
        """Project what the other quantizer decodes back."""
        with full_precision(codes):
            embedding: Tensor = self.out_proj(self.quantizer.decode(codes).to(self.out_proj.bias.dtype))
        return embedding

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the other quantizer, and the projection back."""
        return _identity("quantizer", self.quantizer, self.out_proj)


def _identity(name: str, part: Quantizer, out_proj: WeightNormConv) -> Mapping[str, Any]:
    inside = {f"{name}.{key}": value for key, value in part.decoder_identity().items()}
    return inside | {f"out_proj.{key}": value for key, value in out_proj.state_dict().items()}
