"""Vector quantization by a codebook, of the embedding itself or in a projected space."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from qcodec.layers.weight_norm import WeightNormConv
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.codebooks import Codebook, LearnedCodebook
from qcodec.quantizers.estimators import STE, Estimator
from qcodec.quantizers.frame import FrameOutput, FrameQuantizer


class _CodebookQuantizer(FrameQuantizer, ABC):
    """What the quantizers with one codebook share; a subclass says in which space codes are looked up.

    With ``e`` the vector that is looked up and ``c`` its point, ``commitment`` is ``mean (e - sg[c])^2`` and, for
    codebooks that it trains, ``codebook`` is ``mean (c - sg[e])^2``: Euclidean, whatever the metric of the look-up.
    """

    def _take(self, codebook: Codebook, estimator: Estimator | None) -> None:
        """Store the parts; called after projections are made, so that parameters come in the order of ``dac``."""
        self.codebook, self.size = codebook, codebook.size
        self.estimator = STE() if estimator is None else estimator
        check_is(self.estimator, Estimator, "estimator")

    @abstractmethod
    def project(self, z: Tensor) -> Tensor:
        """Return what is looked up, ``(B, d, T)``."""

    @abstractmethod
    def restore(self, latents: Tensor) -> Tensor:
        """Return the embedding ``(B, D, T)`` of points or of what an estimator makes of them."""

    @property
    def exact(self) -> bool:
        """As the estimator."""
        return self.estimator.exact

    @final
    def quantize(self, z: Tensor) -> FrameOutput:
        """Look up, choose and project back."""
        latents = self.project(z)
        selected = self.estimator.select(latents, self.codebook)
        z_hat = self.restore(selected.z_hat)
        if self.estimator.exact or not self.estimator.training:
            z_q = z_hat.detach()
        else:
            with torch.no_grad():
                z_q = self.restore(selected.z_q)
        losses = {"commitment": (latents - selected.z_q.detach()).square().mean(1)}
        if self.codebook.learned:
            losses["codebook"] = (selected.z_q - latents.detach()).square().mean(1)
        return FrameOutput(selected.codes[:, 0], z_hat, z_q, latents, losses)

    @final
    def embed_codes(self, codes: Tensor) -> Tensor:
        """Project the points of codes back."""
        return self.restore(self.codebook.lookup(codes.unsqueeze(1)))

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the codebook: what is found in it, and how gradients pass, does not matter."""
        return {f"codebook.{name}": value for name, value in self.codebook.decoder_identity().items()}

    @final
    def observe(self, output: FrameOutput, sent: Tensor) -> None:
        """Pass the vectors that were looked up and are sent to the codebook."""
        if self.codebook.observes:
            self.codebook.observe(output.latents.detach().transpose(1, 2)[sent], output.codes[sent])


@final
class VectorQuantizer(_CodebookQuantizer):
    """Replaces each frame by the nearest point of a codebook of as many dimensions (VQ-VAE, arXiv 1711.00937, eq. 1-2).

    Sends one code of ``log2(K)`` bits a frame.

    Args:
        codebook: Points of as many dimensions as the embedding has channels.
        estimator: How points are chosen and gradients pass; a straight-through estimator if left out.

    Example:
        >>> quantizer = VectorQuantizer(LearnedCodebook(size=64, dim=4)).eval()
        >>> quantizer(torch.randn(2, 4, 10)).codes.shape
        torch.Size([2, 1, 10])
    """

    def __init__(self, codebook: Codebook, estimator: Estimator | None = None) -> None:
        super().__init__()
        check_is(codebook, Codebook, "codebook")
        self.dim = codebook.dim
        self._take(codebook, estimator)

    def project(self, z: Tensor) -> Tensor:
        """Return the embedding itself."""
        return z

    def restore(self, latents: Tensor) -> Tensor:
        """Return the points themselves."""
        return latents


@final
class FactorizedVQ(_CodebookQuantizer):
    """Vector quantizer in a projected space, the Descript Audio Codec's with a cosine codebook (arXiv 2306.06546, 3.2).

    The embedding is projected to the codebook's dimensions, replaced by the nearest point and projected back. The
    estimator acts in the projected space. Its weights are named as in ``dac.nn.quantize.VectorQuantize``.

    Args:
        dim: Channels of the embedding.
        codebook: Its points; 1024 learned ones of 8 dimensions, found by cosine, if left out.
        estimator: How points are chosen and gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For no channels.

    Example:
        >>> stage = FactorizedVQ(dim=16, codebook=LearnedCodebook(size=64, dim=4)).eval()
        >>> output = stage(torch.randn(2, 16, 10))
        >>> output.codes.shape, output.bits[0, 0].item(), sorted(output.losses)
        (torch.Size([2, 1, 10]), 6.0, ['codebook', 'commitment'])
    """

    def __init__(self, dim: int, codebook: Codebook | None = None, estimator: Estimator | None = None) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim={dim} must be 1 or more")
        points = LearnedCodebook() if codebook is None else codebook
        check_is(points, Codebook, "codebook")
        self.dim = dim
        self.in_proj = WeightNormConv(dim, points.dim)
        self.out_proj = WeightNormConv(points.dim, dim)
        self._take(points, estimator)

    def project(self, z: Tensor) -> Tensor:
        """Return the projection of an embedding."""
        latents: Tensor = self.in_proj(z)
        return latents

    def restore(self, latents: Tensor) -> Tensor:
        """Return the projection back."""
        embedding: Tensor = self.out_proj(latents)
        return embedding

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return those of the codebook and of the projection back."""
        back = {f"out_proj.{name}": value for name, value in self.out_proj.state_dict().items()}
        return {**super().decoder_identity(), **back}

    def dac_arguments(self) -> Mapping[str, Any] | None:
        """Return those of a residual quantizer of this one stage."""
        if not isinstance(self.codebook, LearnedCodebook) or self.codebook.metric != "cosine":
            return None
        return {"n_codebooks": 1, "codebook_size": self.size, "codebook_dim": self.codebook.dim}
