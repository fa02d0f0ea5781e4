"""What every codec offers around a quantizer."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Codec(ABC, nn.Module):
    """An encoder and a decoder; the quantizer between them is chosen apart from both."""

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the embedding ``(B, D, T)`` and the features ``(B, C, T)`` that bits may be allocated by."""

    @abstractmethod
    def decode(self, z_hat: Tensor) -> Tensor:
        """Give the signal of a quantized embedding ``(B, D, T)``."""
