"""The window of batches that one row of a run's table is about."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
import torchmetrics
from torch import Tensor, nn

from qcodec.codecs.base import AudioOutput
from qcodec.metrics.base import CodecMetric
from qcodec.metrics.named_means import NamedMeans
from qcodec.runs.schema import Metric


@final
class MetricWindow(nn.Module):
    """Sums metrics of batch after batch on the device, and computes them over all of these and all ranks.

    Args:
        metrics: The metrics; copied.
        names: Names of the scalars whose means are computed beside them.
        persistent: Whether a checkpoint holds the sums, for a window that a resumed run continues.

    Raises:
        ValueError: For a name that comes twice.
    """

    def __init__(self, metrics: Sequence[CodecMetric], names: Sequence[str], persistent: bool = False) -> None:
        super().__init__()
        self.means = NamedMeans(names)
        self.metrics = nn.ModuleList(copy.deepcopy(metric) for metric in metrics)
        every = [*names, *(described.name for described in self.descriptions)]
        for name in (name for name, count in Counter(every).items() if count > 1):
            raise ValueError(f"two metrics are called {name!r}: give each a name of its own")
        for state in self._states():
            state.persistent(persistent)

    @property
    def descriptions(self) -> list[Metric]:
        """What the metrics' values are."""
        return [described for metric in self._metrics() for described in metric.descriptions]

    def update(self, output: AudioOutput, audio: Tensor, scalars: Mapping[str, Tensor]) -> None:
        """Add one batch ``(B, 1, L)``: the codec's output, and scalars that count as often as there are clips in it."""
        self.means.update(scalars, weight=len(output.z))
        with torch.no_grad():
            for metric in self._metrics():
                metric.update(output, audio)

    def compute(self) -> dict[str, Tensor]:
        """Return every value by its name, and begin anew.

        Raises:
            ValueError: For a value under a name that its metric does not describe.
        """
        values = self.means.compute()
        for metric in self._metrics():
            values |= _by_name(metric)
        self._reset()
        return values

    def empty_state(self, prefix: str) -> dict[str, Any]:
        """Return what ``state_dict`` holds before a first update."""
        empty = copy.deepcopy(self)
        empty._reset()
        return empty.state_dict(prefix=prefix)

    def _metrics(self) -> list[CodecMetric]:
        return [metric for metric in self.metrics if isinstance(metric, CodecMetric)]

    def _states(self) -> list[torchmetrics.Metric]:
        return [module for module in self.modules() if isinstance(module, torchmetrics.Metric)]

    def _reset(self) -> None:
        for state in self._states():
            state.reset()


def _by_name(metric: CodecMetric) -> dict[str, Tensor]:
    names = [described.name for described in metric.descriptions]
    values = metric.compute()
    by_name = {names[0]: values} if isinstance(values, Tensor) and len(names) == 1 else values
    if isinstance(by_name, Tensor) or not set(by_name) <= set(names):
        computed = "one value" if isinstance(by_name, Tensor) else ", ".join(by_name)
        raise ValueError(f"{type(metric).__name__} describes {', '.join(names)} but computes {computed}: name the same")
    return by_name
