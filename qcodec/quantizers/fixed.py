"""A codebook of random points that nothing trains."""

from collections.abc import Mapping
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from qcodec.quantizers.codebooks import Codebook, Metric, check_sizes


@final
class FixedCodebook(Codebook):
    """Random points that nothing trains; what surrounds them learns to use them.

    Values have a mean square of 1. ``gaussian`` points are drawn apart, as the fixed codebook of a random-projection
    quantizer (arXiv 2202.01855); ``orthogonal`` ones lie as evenly as random ones can: at right angles up
    to ``dim`` points, and above a tight frame, ``sum_k c_k c_k^T = K I``.

    Args:
        size: Number of points, 2 or more.
        dim: Their dimensions.
        metric: See ``Codebook``.
        points: How they are drawn.

    Raises:
        ValueError: For sizes below their least, an unknown metric or another way to draw.

    Example:
        >>> codebook = FixedCodebook(size=64, dim=4, points="orthogonal")
        >>> codebook.quantize(torch.randn(2, 4, 10))[0].shape, codebook.learned
        (torch.Size([2, 1, 10]), False)
    """

    weight: Tensor

    def __init__(
        self,
        size: int = 1024,
        dim: int = 8,
        metric: Metric = "euclidean",
        points: Literal["gaussian", "orthogonal"] = "gaussian",
    ) -> None:
        super().__init__()
        check_sizes(size, dim, metric)
        if points not in ("gaussian", "orthogonal"):
            raise ValueError(f"points={points!r} is no way to draw points: choose 'gaussian' or 'orthogonal'")
        self.size, self.dim, self.metric, self.points = size, dim, metric, points
        drawn = torch.randn(size, dim)
        if points == "orthogonal":
            drawn = nn.init.orthogonal_(drawn, gain=max(size, dim) ** 0.5)
        self.register_buffer("weight", drawn)

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the points."""
        return {"weight": self.weight}

    def vectors(self) -> Tensor:
        """Return the points."""
        return self.weight
