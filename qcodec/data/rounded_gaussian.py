"""The synthetic source of arXiv 2502.04770."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from qcodec.data.source import SyntheticSource
from qcodec.data.stream import SyntheticStream
from qcodec.functional import nearest_level
from qcodec.random_streams import BatchStreams
from qcodec.rate import rate_distortion_curve

_FRAMES, _DRAWS = 2000, 20  # of the reference line, whatever the length of the source's own draws


@final
@dataclass(frozen=True)
class RoundedGaussian(SyntheticSource):
    """White Gaussian noise rounded to the nearest of ``levels`` levels one apart (arXiv 2502.04770, section 3).

    Attributes:
        features: Values per frame, the paper's P.
        frames: Frames per draw, the paper's N.
        levels: Number of levels; a value carries the entropy of a rounded normal variable, 1.9014 bits for four.

    Raises:
        ValueError: For sizes below one or fewer than two levels.

    Example:
        >>> source = RoundedGaussian()
        >>> round(source.entropy_bits(), 2), {name: round(mse, 2) for name, mse in source.references().items()}
        (57.04, {'zero information': 0.88, 'known rotation': 0.1})
    """

    features: int = 30
    frames: int = 2000
    levels: int = 4

    def __post_init__(self) -> None:
        for name, least in (("features", 1), ("frames", 1), ("levels", 2)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"data setting source.{name} is {value}: set it to {least} or more")

    def draw(self, streams: BatchStreams) -> Tensor:
        """Draw targets ``(streams.entries, features, frames)``."""
        return nearest_level(streams.normal((streams.entries, self.features, self.frames)), self.levels)[1]

    def entropy_bits(self) -> float:
        """Return the entropy in bits per frame."""
        return self.features * float(rate_distortion_curve(self.levels)[0][-1])

    def rate_distortion(self) -> tuple[Tensor, Tensor]:
        """Return R(D): bits per frame and squared error per value, from ``(0, variance)`` to ``(entropy, 0)``."""
        rate, distortion = rate_distortion_curve(self.levels)
        return self.features * rate, distortion

    def references(self) -> Mapping[str, float]:
        """Return the squared errors without information, and of a codec that knows the rotation but learns nothing.

        The former is the variance; the latter quantizes the observation ``Y`` itself and decodes by ``Q^T``.
        """
        stream = SyntheticStream(replace(self, frames=_FRAMES), split="val")
        observation = torch.cat([stream.draw(index)[1] for index in range(_DRAWS)])
        rotated = (nearest_level(observation, self.levels)[1] - observation).square().mean()
        return {"zero information": float(self.rate_distortion()[1][0]), "known rotation": float(rotated)}
