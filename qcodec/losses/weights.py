"""Weights of the losses that a quantizer gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class LossWeights:
    """Weight of each named loss; a weight of zero leaves the loss out of training.

    Attributes:
        commitment: Pulls the embedding towards its quantized value.
        codebook: Pulls code vectors towards the embeddings they stand for.
        others: Weights of further losses, by the names that a quantizer gives them.
    """

    commitment: float = 0.0
    codebook: float = 0.0
    others: dict[str, float] = field(default_factory=dict)

    def total(self, losses: Mapping[str, Tensor]) -> Tensor | None:
        """Sum the weighted losses, ``(B,)``; ``None`` where every weight is zero.

        Raises:
            ValueError: When a loss has no weight here, or a weight names a loss that is not there.

        Example:
            >>> import torch
            >>> LossWeights(commitment=0.5).total({"commitment": torch.tensor([2.0, 4.0])})
            tensor([1., 2.])
        """
        weights = {"commitment": self.commitment, "codebook": self.codebook, **self.others}
        for name in sorted(set(losses) - set(weights)):
            raise ValueError(f"the quantizer's loss {name!r} has no weight: give one under losses.others, 0 for none")
        for name in sorted(k for k, w in weights.items() if w and k not in losses):
            given = ", ".join(sorted(losses)) or "none"
            raise ValueError(f"the weight of {name!r} is {weights[name]}, but the quantizer's losses are: {given}")
        terms = [weights[k] * loss for k, loss in losses.items() if weights[k]]
        return sum(terms[1:], terms[0]) if terms else None
