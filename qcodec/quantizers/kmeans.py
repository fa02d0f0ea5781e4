"""A codebook that starts on the k-means of its first frames."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from qcodec.quantizers.checks import check_is
from qcodec.quantizers.codebooks import Codebook, Metric
from qcodec.quantizers.ranks import frames_of_all_ranks, from_first_rank
from qcodec.random_streams import in_common


@final
class KMeansStart(Codebook):
    """A codebook whose points are put on the k-means of the frames of its first call in training.

    As in SoundStream (arXiv 2107.03312, section III-C). Before that call is quantized, Lloyd's iterations start from
    frames drawn at random (several times the same where there are fewer than points): each frame goes to its nearest
    point, and each point to the mean of its frames, or stays where it has none. Frames that are not finite are left
    out. With the ``cosine`` metric frames and means are brought to unit length. Over ranks all take the points of the
    first one. That it has started lies in the state, so that a run that goes on does not start again. From then on it
    is the other codebook.

    Args:
        codebook: A ``LearnedCodebook``, an ``EMACodebook`` or another one that can ``place`` its points.
        iterations: Of Lloyd's algorithm, 1 or more.

    Raises:
        ValueError: For a codebook whose points cannot be put anywhere, or no iterations.

    Example:
        >>> from qcodec import EMACodebook
        >>> codebook, z = KMeansStart(EMACodebook(size=2, dim=1)), torch.tensor([[[-3.0, -5.0, 7.0, 9.0]]])
        >>> codebook.quantize(z)[1].flatten().tolist()
        [-4.0, -4.0, 8.0, 8.0]
    """

    started: Tensor

    def __init__(self, codebook: Codebook, iterations: int = 10) -> None:
        super().__init__()
        check_is(codebook, Codebook, "codebook")
        if type(codebook).place is Codebook.place:
            raise ValueError(f"the points of {type(codebook).__name__} cannot be put on k-means: take an EMACodebook")
        if iterations < 1:
            raise ValueError(f"iterations={iterations} must be 1 or more: leave KMeansStart out for none")
        self.size, self.dim, self.metric = codebook.size, codebook.dim, codebook.metric
        self.codebook, self.iterations = codebook, iterations
        self.register_buffer("started", torch.tensor(False))
        self._seen = False  # whether it was seen to have started: a GPU is not asked at each call

    def vectors(self) -> Tensor:
        """Return the points of the other codebook."""
        return self.codebook.vectors()

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest points, after the start."""
        self._start(z)
        return self.codebook.quantize(z)

    def logits(self, z: Tensor) -> Tensor:
        """Compute minus the squared distances, after the start."""
        self._start(z)
        return self.codebook.logits(z)

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the points of codes."""
        return self.codebook.lookup(codes)

    def mix(self, weights: Tensor) -> Tensor:
        """Return the means of all points by weights."""
        return self.codebook.mix(weights)

    def observe(self, z: Tensor, codes: Tensor) -> None:
        """Let the other codebook learn."""
        self.codebook.observe(z, codes)

    @property
    def observes(self) -> bool:
        """Whether the other codebook does."""
        return self.codebook.observes

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the other codebook."""
        return self.codebook.decoder_identity()

    def place(self, points: Tensor, counts: Tensor) -> None:
        """Put the other codebook's points there, instead of on k-means."""
        self.codebook.place(points, counts)
        self.started.fill_(True)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._seen = False
        super()._load_from_state_dict(*args, **kwargs)

    @torch.no_grad()
    def _start(self, z: Tensor) -> None:
        if self._seen or not self.training:
            return
        self._seen = True
        if self.started:
            return
        frames = self._parts(z.detach()).transpose(2, 3).flatten(0, 2).to(self.vectors().dtype)
        frames = frames_of_all_ranks(frames[frames.isfinite().all(1)])
        if self.metric == "cosine":
            frames = F.normalize(frames)
        if len(frames) == 0:
            frames = self.vectors().detach()
        drawn = in_common(lambda: torch.randperm(len(frames), device=frames.device))
        if len(frames) < self.size:
            drawn = in_common(lambda: torch.randint(len(frames), (self.size,), device=frames.device))
        points, counts = k_means(frames, frames[drawn[: self.size]], self.iterations, self.metric)
        self.place(from_first_rank(points), from_first_rank(counts))


def k_means(frames: Tensor, points: Tensor, iterations: int, metric: Metric = "euclidean") -> tuple[Tensor, Tensor]:
    """Run Lloyd's algorithm on frames ``(n, d)`` from points ``(K, d)``.

    With ``cosine``, frames must have unit length, and means are brought to it. A point that no frame chose stays.

    Returns:
        Points ``(K, d)``, and the frames that chose each of them in the last iteration, ``(K,)`` in the frames' dtype.
    """
    counts = frames.new_zeros(len(points))
    for _ in range(iterations):
        affinity = frames @ points.t()
        if metric == "euclidean":
            affinity = 2 * affinity - points.square().sum(1)
        chosen = affinity.argmax(1)
        counts = torch.bincount(chosen, minlength=len(points)).to(frames.dtype)
        means = torch.zeros_like(points).index_add_(0, chosen, frames) / counts.clamp_min(1)[:, None]
        if metric == "cosine":
            means = F.normalize(means)
        points = torch.where(counts[:, None] > 0, means, points)
    return points, counts
