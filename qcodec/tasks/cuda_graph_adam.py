"""Adam that records what an update does on a GPU, and from then on has it done at once."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, final

import torch
from torch import Tensor

_UNRECORDED = 3  # steps made as they are, in which libraries and memory settle
_log = logging.getLogger(__name__)


class Source(Protocol):
    """What an update draws its random numbers from."""

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """Every generator that was needed so far."""

    def renew(self) -> None:
        """Give the generators up and draw the same from new ones."""


@final
class CudaGraph:
    """What a function does on the GPU, recorded as a CUDA graph: hundreds of launches become one.

    The function is called once, without effect. It must do the same every time, on tensors that keep their place, and
    must not wait for the GPU.

    Args:
        function: The function.
        generators: The generators that it draws from, which may be seeded anew before each replay.
        stream: Stream to record on.
    """

    def __init__(
        self, function: Callable[[], Tensor], generators: Sequence[torch.Generator], stream: torch.cuda.Stream
    ) -> None:
        self._graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self._graph.register_generator_state(generator)
        with torch.cuda.graph(self._graph, stream=stream):
            self._result = function()

    def replay(self) -> Tensor:
        """Have it done; gives what the function gave, in the same memory each time."""
        self._graph.replay()
        return self._result


@final
class CudaGraphAdam(torch.optim.Adam):
    """Adam whose whole step, with the closure that finds the gradients, can become one CUDA graph.

    ``record`` asks for that. A few steps are still made as they are, and all of them where recording fails, which is
    said once in the log. The closure must then do the same in every step, on tensors that keep their place.

    Args:
        groups: Parameters in groups, each with the rate that it begins with.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, fused=True)
        self._source: Source | None = None
        self._stream: torch.cuda.Stream | None = None
        self._graph: CudaGraph | None = None
        self._steps = 0

    def _accelerator_graph_capture_health_check(self) -> None:
        """Leave out what Adam asks before each step, which on a CPU takes longer than the step.

        It guards against recording a step that is made on the CPU; a fused one never is.
        """

    def record(self, source: Source) -> None:
        """Have the steps with this source recorded, from which the closure draws its random numbers."""
        if source is not self._source:
            self._source, self._graph, self._steps = source, None, 0
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves its constructor bare

    def set_rates(self, rates: Sequence[float]) -> None:
        """Set the learning rate of each group, where a recorded step finds it."""
        for group, rate in zip(self.param_groups, rates, strict=True):
            if self._source is None:
                group["lr"] = rate
            elif isinstance(group["lr"], Tensor) and group["lr"].device == group["params"][0].device:
                group["lr"].fill_(rate)
            else:
                group["lr"] = torch.full((), rate, device=group["params"][0].device)

    def step(self, closure: Any = None) -> Any:
        """Call the closure, which finds the gradients, and make a step; gives what the closure gives."""
        if self._source is None or self._stream is None or closure is None:
            return super().step(closure)
        self._steps += 1
        if self._steps == _UNRECORDED + 1:
            self._start_recorded(closure, self._source, self._stream)
        return self._aside(closure, self._stream) if self._graph is None else self._graph.replay()

    def _start_recorded(self, closure: Any, source: Source, stream: torch.cuda.Stream) -> None:
        try:
            self._graph = CudaGraph(partial(super().step, closure), source.generators, stream)
        except RuntimeError as error:
            source.renew()
            reason = str(error).partition("\n")[0]
            _log.warning("Updates are made one operation at a time, as they cannot be recorded: %s", reason)

    def _aside(self, closure: Any, stream: torch.cuda.Stream) -> Any:
        """Make the step as it is, but on the stream that a graph is recorded on."""
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = super().step(closure)
        torch.cuda.current_stream().wait_stream(stream)
        return result
