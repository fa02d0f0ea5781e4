"""How long systems take, beside the plainest one in the same process."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream
from qcodec.quantizers.scalar import ScalarQuantizer
from qcodec.tasks.joint_update import JointUpdate
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System

_SEEDS, _ROUNDS, _UPDATES = 5, 12, 2


def relative_times(systems: Mapping[str, System]) -> dict[str, float]:
    """Return the time of an update of each system by that of ``ScalarQuantizer()`` in turns with it.

    Five seeds side by side on the CPU, data, both passes and the optimizer included: the median of ten ratios of two
    updates each, after two rounds that do not count.
    """
    plain = _Updates(System(ScalarQuantizer()))
    return {name: _ratio(_Updates(system), plain) for name, system in systems.items()}


class _Updates:
    """Updates of one system."""

    def __init__(self, system: System) -> None:
        self.task = SurrogateTask({"system": system}, seeds=_SEEDS)
        systems: dict[str, Any] = dict(nn.ModuleDict.items(self.task.systems))
        self.joint_update = JointUpdate(SyntheticStream(RoundedGaussian()), self.task.seeds, systems)
        self.optimizer, self.done = self.task.configure_optimizers(), 0

    def seconds(self) -> float:
        begun = time.perf_counter()
        for _ in range(_UPDATES):
            self.joint_update.seek(self.done)
            self.optimizer.zero_grad()
            self.task._backward(self.joint_update)
            self.optimizer.step()
            self.done += 1
        return time.perf_counter() - begun


def _ratio(system: _Updates, plain: _Updates) -> float:
    ratios = [system.seconds() / plain.seconds() for _ in range(_ROUNDS)]
    return round(float(np.median(ratios[2:])), 3)
