"""Means of scalars by name."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor
from torchmetrics import Metric


@final
class NamedMeans(Metric):
    """Means of named scalars over a stretch of updates, summed on the device in one tensor.

    Args:
        names: Every name that may come; those that never came are left out of the result.

    Example:
        >>> means = NamedMeans(["mel", "rate"])
        >>> for loss in (1.0, 4.0):
        ...     means.update({"mel": torch.tensor(loss)})
        >>> means.compute()
        {'mel': tensor(2.5000)}
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self._seen: set[str] = set()
        self.add_state("sums", torch.zeros(2, len(self.names)), dist_reduce_fx="sum")

    def update(self, values: Mapping[str, Tensor], weight: float = 1.0) -> None:
        """Add a scalar tensor for some of the names.

        Raises:
            ValueError: For a name that was not announced.
        """
        for name in sorted(set(values) - set(self.names)):
            raise ValueError(f"there is no mean named {name!r}: choose one of {', '.join(self.names)}")
        self._seen |= set(values)
        none, one = self.sums.new_zeros(()), self.sums.new_ones(())
        row = [values.get(name, none).detach().to(none) for name in self.names]
        counts = [one if name in values else none for name in self.names]
        self.sums += weight * torch.stack(row + counts).view(2, -1)

    def compute(self) -> dict[str, Tensor]:
        """Return the mean of each name that came."""
        means = (self.sums[0] / self.sums[1]).unbind()
        return {name: mean for name, mean in zip(self.names, means, strict=True) if name in self._seen}
