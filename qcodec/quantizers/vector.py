"""Vector quantization in a projected space with a learned codebook."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qcodec.functional import mean_squared_error, nearest_code
from qcodec.layers.weight_norm import WeightNormConv, full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.estimators import STE, GradientEstimator
from qcodec.rate import code_bits


@dataclass(frozen=True)
class LookUp:
    """What a stage finds in its codebook.

    Attributes:
        codes: ``(B, T)`` int64.
        vector: ``(B, codebook_dim, T)`` code vectors, attached to the codebook.
        latent: ``(B, codebook_dim, T)`` what was looked up, attached to the input.
    """

    codes: Tensor
    vector: Tensor
    latent: Tensor


@final
class VectorStage(Quantizer):
    """Factorised vector quantizer with cosine look-up, the quantizer of the Descript Audio Codec (arXiv 2306.06546).

    The embedding is projected to ``codebook_dim`` channels, replaced by the code vector at the smallest angle and
    projected back. Sends one code of ``log2(codebook_size)`` bits a frame. The losses are Euclidean, on vectors that
    are not normalised: with ``e`` the projected embedding and ``c`` its code vector, ``commitment`` is
    ``mean (e - sg[c])^2`` and ``codebook`` is ``mean (c - sg[e])^2``. The estimator acts in the projected space. Works
    in the precision of its own weights, whatever that of the embedding. Its weights are named as in
    ``dac.nn.quantize.VectorQuantize``.

    Args:
        dim: Channels of the embedding.
        codebook_size: Number of code vectors, 2 or more.
        codebook_dim: Channels of the code vectors.
        estimator: How gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For sizes below their least.

    Example:
        >>> stage = VectorStage(dim=16, codebook_size=64, codebook_dim=4).eval()
        >>> output = stage(torch.randn(2, 16, 10))
        >>> output.codes.shape, output.bits[0, 0].item(), sorted(output.losses)
        (torch.Size([2, 1, 10]), 6.0, ['codebook', 'commitment'])
    """

    def __init__(
        self, dim: int, codebook_size: int = 1024, codebook_dim: int = 8, estimator: GradientEstimator | None = None
    ) -> None:
        super().__init__()
        if min(dim, codebook_dim) < 1 or codebook_size < 2:
            raise ValueError(
                f"dim={dim} and codebook_dim={codebook_dim} must be 1 or more, codebook_size={codebook_size} 2 or more"
            )
        self.dim, self.codebook_size, self.codebook_dim = dim, codebook_size, codebook_dim
        self.in_proj = WeightNormConv(dim, codebook_dim)
        self.out_proj = WeightNormConv(codebook_dim, dim)
        self.codebook = nn.Embedding(codebook_size, codebook_dim)
        self.estimator = STE() if estimator is None else estimator

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the size of the codebook."""
        return (self.codebook_size,)

    def look_up(self, z: Tensor) -> LookUp:
        """Project ``z`` ``(B, D, T)``, in the dtype of the weights, and find the nearest code of each frame."""
        latent: Tensor = self.in_proj(z)
        codes, vector = nearest_code(latent, self.codebook.weight)
        return LookUp(codes, vector, latent)

    def estimate(self, found: LookUp, estimator: GradientEstimator) -> tuple[Tensor, Tensor]:
        """Project back: what the estimator shows to the decoder, and the hard value, detached; ``(B, D, T)`` each."""
        vector = found.vector.detach()
        shown: Tensor = self.out_proj(estimator(found.latent, vector))
        if estimator.exact or not estimator.training:
            return shown, shown.detach()
        with torch.no_grad():
            return shown, self.out_proj(vector)

    def vectors(self, codes: Tensor) -> Tensor:
        """Give the embedding ``(B, D, T)`` of codes ``(B, T)``."""
        embedding: Tensor = self.out_proj(F.embedding(codes, self.codebook.weight).transpose(1, 2))
        return embedding

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` frame by frame."""
        check_embedding(z, "VectorStage", level)
        check_channels(z, "VectorStage", self.dim)
        with full_precision(z):
            found = self.look_up(z.to(self.codebook.weight.dtype))
            shown, hard = self.estimate(found, self.estimator)
            losses = {
                "commitment": mean_squared_error(found.latent, found.vector.detach()),
                "codebook": mean_squared_error(found.vector, found.latent.detach()),
            }
        bits = z.new_full((z.shape[0], z.shape[2]), code_bits(self.codebook_size), dtype=torch.float32)
        return QuantizerOutput(
            shown.to(z.dtype), found.codes.unsqueeze(1), bits, losses, hard.to(z.dtype), found.latent
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Give the embedding ``(B, D, T)`` of codes ``(B, 1, T)``."""
        check_codes(codes, "VectorStage", self.codebook_size)
        if codes.shape[1] != 1:
            raise ValueError(
                f"VectorStage sends one code a frame, not {codes.shape[1]}: decode with the right quantizer"
            )
        with full_precision(codes):
            return self.vectors(codes[:, 0])


def check_channels(z: Tensor, owner: str, dim: int) -> None:
    """Raise ``ValueError`` unless ``z`` ``(B, D, T)`` has ``dim`` channels."""
    if z.shape[1] != dim:
        raise ValueError(f"{owner} was built for dim={dim}, not for an embedding of shape {tuple(z.shape)}")
