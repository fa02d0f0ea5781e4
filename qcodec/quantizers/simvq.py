"""A codebook of fixed points behind a trained linear map."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from qcodec.quantizers.codebooks import Codebook, Metric, check_sizes


@final
class SimVQCodebook(Codebook):
    """Fixed Gaussian points behind one trained linear map, ``c_k = W b_k`` (SimVQ, arXiv 2411.02038).

    The ``codebook`` loss, and estimators that pass gradients to points, train the map alone: each update moves all
    points, so that none is left behind where no frame chooses it. The points ``b_k`` have variance ``1 / b`` a value.

    Args:
        size: Number of points, 2 or more.
        dim: Their dimensions, d.
        metric: See ``Codebook``.
        base_dim: Dimensions of the fixed points, b; ``dim`` if left out.

    Raises:
        ValueError: For sizes below their least or an unknown metric.

    Example:
        >>> codebook = SimVQCodebook(size=64, dim=4)
        >>> codebook.quantize(torch.randn(2, 4, 10))[0].shape
        torch.Size([2, 1, 10])
        >>> [name for name, _ in codebook.named_parameters()]
        ['map.weight']
    """

    weight: Tensor

    def __init__(
        self, size: int = 1024, dim: int = 8, metric: Metric = "euclidean", base_dim: int | None = None
    ) -> None:
        super().__init__()
        self.base_dim = dim if base_dim is None else base_dim
        check_sizes(size, min(dim, self.base_dim), metric)
        self.size, self.dim, self.metric = size, dim, metric
        self.register_buffer("weight", torch.randn(size, self.base_dim) * self.base_dim**-0.5)
        self.map = nn.Linear(self.base_dim, dim, bias=False)

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the fixed points and the map."""
        return self.state_dict()

    def vectors(self) -> Tensor:
        """Return the mapped points, attached to the map."""
        points: Tensor = self.map(self.weight)
        return points
