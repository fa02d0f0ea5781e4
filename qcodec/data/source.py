"""Synthetic sources: what a surrogate codec is to encode, with its information content."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from qcodec.random_streams import BatchStreams


class SyntheticSource(ABC):
    """A source of frames whose information content is known; every frame is drawn alike.

    Subclass requirements: all randomness comes from the streams, so that a member draws the same alone and beside
    others; ``draw`` works on their device by tensor operations alone, so that a GPU can record and replay it. Settings
    do not change after construction (a frozen dataclass does it). Seeds, splits, ranks, devices and the rotation
    of the observation are matters of ``SyntheticStream``.

    Attributes:
        features: Values per frame, the paper's P.
        frames: Frames per draw, the paper's N.

    Example:
        >>> import torch
        >>> class Uniform(SyntheticSource):
        ...     features, frames = 2, 5
        ...     def draw(self, streams):
        ...         return streams.uniform((streams.entries, 2, 5))
        ...     def entropy_bits(self):
        ...         return None
        ...     def rate_distortion(self):
        ...         return None
        ...     def references(self):
        ...         return {"zero information": 1 / 12}
        >>> Uniform().draw(BatchStreams(3, "cpu")).shape
        torch.Size([3, 2, 5])
    """

    features: int
    frames: int

    @abstractmethod
    def draw(self, streams: BatchStreams) -> Tensor:
        """Draw targets ``(streams.entries, features, frames)``, float32, one member from each stream."""

    @abstractmethod
    def entropy_bits(self) -> float | None:
        """Return the entropy in bits per frame; ``None`` where it is unknown or infinite."""

    @abstractmethod
    def rate_distortion(self) -> tuple[Tensor, Tensor] | None:
        """Return R(D) as bits per frame, rising, and squared error per value, falling, ``(S,)`` each.

        Float64, from a rate of zero to the lowest distortion that matters; ``None`` where it is unknown.
        """

    @abstractmethod
    def references(self) -> Mapping[str, float]:
        """Return the squared error per value of schemes that need no training, by name; figures draw them as lines."""
