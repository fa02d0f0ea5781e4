"""Codebooks: the points that embeddings are quantized to, how the nearest is found, and how the points learn."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qcodec.functional import level_value, nearest_code, nearest_level
from qcodec.quantizers.ranks import over_ranks, random_frames
from qcodec.quantizers.rebuild import Rebuildable, settings_of

Metric = Literal["cosine", "euclidean"]
_MOST_LEVELS = 1 << 24


class Codebook(Rebuildable, ABC, nn.Module):
    """``K`` points in ``d`` dimensions, for embeddings ``(B, N d, T)``: each frame is looked up in N parts.

    N is 1 for vectors of all features, and D for points on a line, on which each value is looked up by itself. A
    subclass writes ``vectors`` and sets the attributes; its tensor is called ``weight``.

    Attributes:
        size: Number of points, K.
        dim: Their dimensions, d.
        metric: By which the nearest is found; with ``cosine`` embeddings and points are brought to unit length first,
            as in the Descript Audio Codec (arXiv 2306.06546, section 3.2).
    """

    size: int
    dim: int
    metric: Metric = "euclidean"

    @property
    def learned(self) -> bool:
        """Whether the points are made of parameters, which the ``codebook`` loss trains."""
        return next(self.parameters(), None) is not None

    @abstractmethod
    def vectors(self) -> Tensor:
        """Return the points ``(K, d)``, attached to what they are made of."""

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest points of embeddings ``(B, N d, T)``, of several equally near ones the first.

        Returns:
            Codes ``(B, N, T)``, int64, and the points ``(B, N d, T)``, attached to the codebook.

        Raises:
            ValueError: For channels that are no multiple of d.
        """
        parts = self._parts(z)
        codes, points = nearest_code(parts.flatten(0, 1), self.vectors(), self.metric)
        return codes.view(*parts.shape[:2], -1), points.reshape(z.shape)

    def nearest(self, z: Tensor) -> Tensor:
        """Return the codes ``(B, N, T)`` of the nearest points."""
        return self.quantize(z)[0]

    def logits(self, z: Tensor) -> Tensor:
        """Compute minus the squared distance of embeddings ``(B, N d, T)`` to each point, by ``metric``.

        Returns:
            ``(B, N, T, K)`` in float32 or wider, attached to ``z`` and the codebook. Frames lie side by side in memory:
            what is done along K is then several times as fast where K is small.
        """
        wide = torch.promote_types(z.dtype, torch.float32)
        parts, points = self._parts(z).to(wide), self.vectors().to(wide)
        if self.metric == "cosine":
            parts, points = F.normalize(parts, dim=2), F.normalize(points, dim=-1)
        products = torch.matmul(2 * points, parts)
        return (products - parts.square().sum(2, keepdim=True) - points.square().sum(-1, keepdim=True)).mT

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the points ``(B, N d, T)`` of codes ``(B, N, T)``, attached to the codebook."""
        return F.embedding(codes, self.vectors()).transpose(2, 3).flatten(1, 2)

    def mix(self, weights: Tensor) -> Tensor:
        """Return the means ``(B, N d, T)`` of all points by weights ``(B, N, T, K)``."""
        mixed: Tensor = self.vectors().to(weights.dtype).t() @ weights.mT
        return mixed.flatten(1, 2)

    def observe(self, z: Tensor, codes: Tensor) -> None:
        """Learn from the frames of one update that are sent, ``(n, d)`` and ``(n,)``; by default nothing is learned."""

    @property
    def observes(self) -> bool:
        """Whether ``observe`` is its own; to pick the frames that are sent would else make a GPU wait for nothing."""
        return type(self).observe is not Codebook.observe

    def place(self, points: Tensor, counts: Tensor) -> None:
        """Put the points on others ``(K, d)``, each of which stands for a number of frames, ``counts`` ``(K,)``.

        Raises:
            ValueError: For codebooks whose points are not free, which is the default.
        """
        raise ValueError(f"the points of {type(self).__name__} cannot be put anywhere: take a LearnedCodebook")

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return what ``lookup`` depends on, by name, for a file's fingerprint.

        All settings and all tensors of the state, unless a subclass knows which of them only learn.
        """
        return {"settings": settings_of(self), **self.state_dict()}

    def _parts(self, z: Tensor) -> Tensor:
        if z.shape[1] % self.dim:
            raise ValueError(
                f"{type(self).__name__} has points of {self.dim} dimensions, into which {z.shape[1]} channels cannot "
                "be divided"
            )
        return z.view(z.shape[0], -1, self.dim, z.shape[2])


@final
class Levels(Codebook):
    """Equally spaced fixed points on a line: level ``k`` is ``(k - (size - 1) / 2) * step``.

    A value half-way between two levels goes to the upper one.

    Args:
        size: Number of levels.
        step: Distance between neighbours.

    Raises:
        ValueError: For fewer than two levels or a step that is not positive.

    Example:
        >>> Levels(4).quantize(torch.tensor([[[-3.0, 0.0]]]))
        (tensor([[[0, 2]]]), tensor([[[-1.5000,  0.5000]]]))
    """

    weight: Tensor

    def __init__(self, size: int = 4, step: float = 1.0) -> None:
        super().__init__()
        if size < 2:
            raise ValueError(f"levels={size} carries no information: give 2 or more")
        if size > _MOST_LEVELS:
            raise ValueError(f"levels={size} are more than float32 tells apart: give 2^24 at most")
        if not 0 < step < math.inf:
            raise ValueError(f"step={step} is no distance between levels: give a positive number")
        self.size, self.dim, self.step = size, 1, step
        self.register_buffer("weight", level_value(torch.arange(size), size, step)[:, None], persistent=False)

    def vectors(self) -> Tensor:
        """Return the levels ``(K, 1)``."""
        return self.weight

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest level of each value, by rounding."""
        return nearest_level(z.detach(), self.size, self.step)

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the levels' values in float32."""
        return level_value(codes, self.size, self.step)


@final
class LearnedCodebook(Codebook):
    """Points that gradients train: by the ``codebook`` loss, and by an estimator that passes gradients to them.

    Args:
        size: Number of points, 2 or more.
        dim: Their dimensions.
        metric: See ``Codebook``.

    Raises:
        ValueError: For sizes below their least or an unknown metric.

    Example:
        >>> LearnedCodebook(size=64, dim=4).quantize(torch.randn(2, 4, 10))[0].shape
        torch.Size([2, 1, 10])
    """

    def __init__(self, size: int = 1024, dim: int = 8, metric: Metric = "cosine") -> None:
        super().__init__()
        check_sizes(size, dim, metric)
        self.size, self.dim, self.metric = size, dim, metric
        self.weight = nn.Parameter(torch.empty(size, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the points from a standard normal distribution, as ``torch.nn.Embedding`` does."""
        nn.init.normal_(self.weight)

    def vectors(self) -> Tensor:
        """Return the points."""
        return self.weight

    @torch.no_grad()
    def place(self, points: Tensor, counts: Tensor) -> None:
        """Put the points there; the counts mean nothing."""
        self.weight.copy_(points)

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the points."""
        return {"weight": self.weight}


@final
class EMACodebook(Codebook):
    """Points that follow the means of what they stand for (arXiv 1711.00937, appendix A.1), with dead-code restart.

    With ``n`` the number of frames of an update that chose a point and ``m`` their sum, ``N <- decay N + (1 - decay)
    n`` and ``M <- decay M + (1 - decay) m``; the point is ``M / N``, with Laplace smoothing of ``N`` by ``epsilon``. A
    point whose ``N`` falls below a share ``least`` of the mean over all points is put on a frame of the update drawn at
    random (arXiv 2107.03312, section III-C, where the least is a number of frames and so depends on the batch). Counts
    and sums are those of all ranks. The points start as Gaussian noise.

    Args:
        size: Number of points, 2 or more.
        dim: Their dimensions.
        metric: See ``Codebook``; points are not normalised themselves.
        decay: Of the averages, from 0 to below 1.
        least: Share of the mean count below which a point is dead, 0 to 1; 0 to restart none.
        epsilon: Of the smoothing.

    Raises:
        ValueError: For sizes below their least, an unknown metric or a decay out of its range.
    """

    weight: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(
        self,
        size: int = 1024,
        dim: int = 8,
        metric: Metric = "euclidean",
        decay: float = 0.99,
        least: float = 0.1,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        check_sizes(size, dim, metric)
        if not 0 <= decay < 1 or not 0 <= least < 1:
            raise ValueError(f"decay={decay} and least={least} must lie from 0 to below 1")
        self.size, self.dim, self.metric = size, dim, metric
        self.decay, self.least, self.epsilon = decay, least, epsilon
        self.register_buffer("weight", torch.randn(size, dim))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.weight.clone())

    def vectors(self) -> Tensor:
        """Return the points; no gradient trains them."""
        return self.weight

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the points."""
        return {"weight": self.weight}

    @torch.no_grad()
    def place(self, points: Tensor, counts: Tensor) -> None:
        """Put the points there, and start the averages from the counts."""
        self.weight, self.counts = points.to(self.weight), counts.to(self.counts)
        self.sums = self.weight * self.counts[:, None]

    @torch.no_grad()
    def observe(self, z: Tensor, codes: Tensor) -> None:
        """Move the points towards the means of their frames; new tensors take the place of the old ones.

        Frames that are not finite are left out: what they spoil would stay spoilt.
        """
        if not z.is_floating_point() or z.dim() != 2:
            raise ValueError(f"frames of shape (n, {self.dim}) are observed, not {z.dtype} of {tuple(z.shape)}")
        finite = z.isfinite().all(1)
        z, codes = z.detach()[finite].to(self.weight.dtype), codes[finite]
        n = torch.bincount(codes, minlength=self.size).to(z.dtype)
        m = torch.zeros_like(self.sums).index_add_(0, codes, z)
        n, m = over_ranks(n), over_ranks(m)
        self.counts = self.counts.lerp(n, 1 - self.decay)
        self.sums = self.sums.lerp(m, 1 - self.decay)
        total = self.counts.sum()
        smoothed = (self.counts + self.epsilon) / (total + self.size * self.epsilon) * total
        self.weight = self.sums / smoothed[:, None]
        self._restart(z)

    def _restart(self, z: Tensor) -> None:
        """Put dead points on frames ``(n, d)`` of all ranks drawn at random."""
        drawn = random_frames(z, self.size)
        frames = drawn if len(drawn) else self.weight.clone()
        mean = self.counts.mean()
        dead = self.counts < self.least * mean
        self.weight = torch.where(dead[:, None], frames, self.weight)
        self.sums = torch.where(dead[:, None], frames * mean, self.sums)
        self.counts = torch.where(dead, mean, self.counts)


def check_sizes(size: int, dim: int, metric: str) -> None:
    """Raise ``ValueError`` for fewer than two points, no dimension, or an unknown metric."""
    if dim < 1 or size < 2:
        raise ValueError(f"a codebook needs 2 points of 1 dimension or more, not size={size} and dim={dim}")
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"metric {metric!r} is unknown: choose 'cosine' or 'euclidean'")
