"""Weights of the losses that are minimised together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True)
class LossWeights:
    """Weight of each named loss; a weight of zero leaves the loss out of training.

    Attributes:
        commitment: Pulls the embedding towards its quantized value.
        codebook: Pulls code vectors towards the embeddings they stand for.
        rate: Pulls the bits per frame down, where a quantizer of variable bitrate has such a loss.
        mel: Distance of mel spectrograms.
        waveform: Mean absolute difference of the samples.
        adversarial: Least-squares loss of fooling a discriminator.
        feature_matching: Distance of the discriminator's features.
        others: Weights of further losses, by the names under which a quantizer returns them.

    Raises:
        ValueError: For a name under ``others`` that has a place of its own, and a weight below zero or not finite.
    """

    commitment: float = 0.0
    codebook: float = 0.0
    rate: float = 0.0
    mel: float = 0.0
    waveform: float = 0.0
    adversarial: float = 0.0
    feature_matching: float = 0.0
    others: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in sorted(set(self.others) & {each.name for each in fields(self)}):
            raise ValueError(f"losses.others names {name!r}, which is a setting of its own: give losses.{name} instead")
        for name, weight in self._weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"losses.{name} is {weight}: give a finite weight of 0 or more")

    def by_name(self) -> dict[str, float]:
        """Return every weight by its loss's name.

        Example:
            >>> weights = LossWeights(mel=15.0, others={"entropy": 0.1}).by_name()
            >>> weights["mel"], weights["commitment"], weights["entropy"]
            (15.0, 0.0, 0.1)
        """
        return dict(self._weights)

    @cached_property
    def _weights(self) -> dict[str, float]:
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "others"}
        return own | self.others

    def total(self, losses: Mapping[str, Tensor]) -> Tensor | None:
        """Sum the weighted losses, tensors of one shape; ``None`` where every weight is zero.

        Raises:
            ValueError: When a loss has no weight here, or a weight names a loss that is not there.

        Example:
            >>> import torch
            >>> LossWeights(commitment=0.5).total({"commitment": torch.tensor([2.0, 4.0])})
            tensor([1., 2.])
        """
        weights = self._weights
        for name in sorted(set(losses) - set(weights)):
            raise ValueError(f"the loss {name!r} has no weight: give one under losses.others, 0 for none")
        for name in sorted(k for k, w in weights.items() if w and k not in losses):
            given = ", ".join(sorted(losses)) or "none"
            raise ValueError(f"the weight of {name!r} is {weights[name]}, but the losses there are: {given}")
        terms = [weights[k] * loss for k, loss in losses.items() if weights[k]]
        return sum(terms[1:], terms[0]) if terms else None
