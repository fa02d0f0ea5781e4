"""Layers without weights around a quantizer."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.frame import check_channels
from qcodec.quantizers.layered import Layer
from qcodec.random_streams import uniform_like


class _Plain(Layer):
    """A layer without weights that treats each entry of a batch by itself."""

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True


@final
class Bounded(_Plain):
    """Bounds each channel smoothly: ``r tanh(z / r)``, near zero the identity; the result lies in ``(-r, r)``.

    Args:
        reach: ``r`` of each channel; one number for the same in all.

    Raises:
        ValueError: For a reach that is not positive, or an embedding of other channels.

    Example:
        >>> layer = Bounded(reach=2.0)
        >>> layer(torch.tensor([[[100.0, -0.2]]]))
        tensor([[[ 2.0000, -0.1993]]])
    """

    bound: Tensor

    def __init__(self, reach: float | Sequence[float]) -> None:
        super().__init__()
        values = [reach] if isinstance(reach, int | float) else list(reach)
        if not min(values, default=0) > 0:
            raise ValueError(f"reach={reach} must be positive")
        self.channels = None if isinstance(reach, int | float) else len(values)
        self.register_buffer("bound", torch.tensor(values)[:, None], persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Bound ``z``."""
        check_channels(z, "Bounded", self.channels)
        return (z / self.bound).tanh() * self.bound


@final
class Dropout(_Plain):
    """Sets each value to zero with a probability, in training alone, and scales the others to the same mean.

    Srivastava et al., Dropout, JMLR 15, 2014. A value that is kept is divided by ``1 - probability``.

    Args:
        probability: From 0 to less than 1.

    Raises:
        ValueError: For another number.

    Example:
        >>> z = torch.ones(1, 2, 3)
        >>> sorted({0.0, 2.0} | set(Dropout(0.5)(z).flatten().tolist())), bool((Dropout(0.5).eval()(z) == z).all())
        ([0.0, 2.0], True)
    """

    def __init__(self, probability: float = 0.1) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"probability={probability} must lie from 0 to less than 1")
        self.probability = probability

    def deployed(self) -> Layer | None:
        """Return nothing: it acts in training alone."""
        return None

    def forward(self, z: Tensor) -> Tensor:
        """Drop values of ``z``."""
        if not self.training:
            return z
        return z * ((uniform_like(z, z.shape) >= self.probability).to(z.dtype) / (1 - self.probability))


@final
class LayerNorm(_Plain):
    """Layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450): each frame gets mean 0 and variance 1.

    Over the channels of a frame, ``(z - mean) / sqrt(variance + eps)``. Gain and bias are left to the layers around.

    Args:
        eps: Added to the variance, positive.

    Raises:
        ValueError: For another number.

    Example:
        >>> LayerNorm()(torch.tensor([[[1.0], [3.0]]])).flatten()
        tensor([-1.0000,  1.0000])
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = _positive(eps)

    def forward(self, z: Tensor) -> Tensor:
        """Normalise the frames of ``z``."""
        centred = z - z.mean(1, keepdim=True)
        return centred * (centred.square().mean(1, keepdim=True) + self.eps).rsqrt()


@final
class L2Normalization(_Plain):
    """Brings each frame to one length, the square root of its channels: a mean square of 1.

    ``z / sqrt(|z|^2 / D + eps)``; on that sphere quantize BSQ and cosine codebooks too.

    Args:
        eps: Added to the mean square, positive, so that the gradient at zero is finite.

    Raises:
        ValueError: For another number.

    Example:
        >>> L2Normalization()(torch.tensor([[[3.0], [-3.0]]])).flatten()
        tensor([ 1.0000, -1.0000])
    """

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = _positive(eps)

    def forward(self, z: Tensor) -> Tensor:
        """Normalise the frames of ``z``."""
        return z * (z.square().mean(1, keepdim=True) + self.eps).rsqrt()


def _positive(eps: float) -> float:
    if not eps > 0:
        raise ValueError(f"eps={eps} must be positive")
    return eps
