"""Whitening of embeddings."""

from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.frame import check_channels
from qcodec.quantizers.layered import Layer
from qcodec.quantizers.ranks import summed_over_ranks


@final
class Whitening(Layer):
    """Whitening of the channels: mean 0 and covariance I over the frames, by the Cholesky factor of their covariance.

    With ``S = L L^T`` the covariance plus ``eps I``, ``z`` becomes ``L^-1 (z - mean)``. As batch normalisation does,
    training takes mean and covariance from the batch, of all ranks, and passes the gradient through both; evaluation
    takes averages over training, which are kept in checkpoints. Computed anew in each call; the work is ``D^3 / 3``.

    Args:
        dim: Channels of the embedding, D.
        decay: Of the averages, in each update, at least 0 and less than 1; the first ones count evenly.
        eps: Added to the variances, positive.

    Raises:
        ValueError: For numbers out of their range, or an embedding of other channels.

    Example:
        >>> z = torch.tensor([[1.0, 0.5], [0.5, 1.0]]) @ torch.randn(1, 2, 1000)
        >>> layer = Whitening(2)
        >>> white = layer(z)
        >>> bool(torch.allclose(white[0] @ white[0].T / 1000, torch.eye(2), atol=1e-3))
        True
    """

    mean: Tensor
    covariance: Tensor
    updates: Tensor

    def __init__(self, dim: int, decay: float = 0.99, eps: float = 1e-5) -> None:
        super().__init__()
        if dim < 1 or not 0 <= decay < 1 or not eps > 0:
            raise ValueError(f"dim={dim}, decay={decay} and eps={eps} must be 1 or more, in [0, 1) and positive")
        self.dim, self.decay, self.eps = dim, decay, eps
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("covariance", torch.eye(dim))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor) -> Tensor:
        """Whiten ``z``."""
        check_channels(z, "Whitening", self.dim)
        mean, covariance = self._statistics(z) if self.training else (self.mean, self.covariance)
        diagonal = self.eps * torch.eye(self.dim, dtype=z.dtype, device=z.device)
        factor = torch.linalg.cholesky_ex(covariance.to(z.dtype) + diagonal).L
        white: Tensor = torch.linalg.solve_triangular(factor, z - mean.to(z.dtype)[:, None], upper=False)
        return white

    def _statistics(self, z: Tensor) -> tuple[Tensor, Tensor]:
        frames = z.transpose(0, 1).flatten(1)  # (D, B T)
        count = summed_over_ranks(z.new_tensor([frames.shape[1]]))
        mean = summed_over_ranks(frames.sum(1)) / count
        centred = frames - mean[:, None]
        covariance = summed_over_ranks(centred @ centred.T) / count
        with torch.no_grad():
            share = torch.clamp(1 / (self.updates + 1), min=1 - self.decay).to(self.mean.dtype)
            self.updates += 1
            for average, value in ((self.mean, mean), (self.covariance, covariance)):
                average.lerp_(value.to(average.dtype), share)
        return mean, covariance
