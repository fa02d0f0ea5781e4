"""Settings that follow schedules, by the number of calls in training."""

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from qcodec.random_streams import ends_update
from qcodec.schedules import Schedule


class Scheduled(nn.Module):
    """A part with settings that are numbers or schedules of the update.

    Calls in training are counted in the buffer ``updates_done``, which is there if anything follows a schedule, and so
    in checkpoints. An instance that several stages share counts each of their calls.
    """

    updates_done: Tensor

    @final
    def take_settings(self, settings: Mapping[str, float | Schedule]) -> None:
        """Store positive numbers, or schedules of them, by name.

        Raises:
            ValueError: For a number that is not positive.
        """
        for name, value in settings.items():
            if not isinstance(value, Schedule) and not 0 < value < math.inf:
                raise ValueError(f"{name}={value} must be a positive number, or a schedule of them")
        self._settings = dict(settings)
        if self.scheduled:
            self.register_buffer("updates_done", torch.zeros((), dtype=torch.int64))

    @final
    @property
    def scheduled(self) -> bool:
        """Whether a setting follows a schedule."""
        return any(isinstance(value, Schedule) for value in self._settings.values())

    @final
    def setting(self, name: str) -> float:
        """Return a setting in the present update."""
        value = self._settings[name]
        return value.value(int(self.updates_done)) if isinstance(value, Schedule) else float(value)

    @final
    def count_update(self) -> None:
        """Count a call in training, the parts of a batch as one."""
        if self.scheduled:
            self.updates_done += ends_update()
