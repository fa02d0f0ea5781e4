"""Adam whose update is captured as a CUDA graph and replayed: one launch in place of hundreds."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, final

import torch
from torch import Tensor

_WARM_UP = 3  # steps before the capture, in which libraries and memory settle
_log = logging.getLogger(__name__)


class Source(Protocol):
    """What an update draws its random numbers from."""

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """Every generator that was needed so far."""

    def renew(self) -> None:
        """Draw the same from new generators."""


@final
class CudaGraph:
    """The GPU's work of a function, captured as a CUDA graph.

    The function is called once, for the capture, which changes no tensor. It must do the same work at every call, on
    tensors that keep their memory, and must not wait for the GPU (https://docs.pytorch.org/docs/stable/notes/cuda.html,
    "CUDA Graphs").

    Args:
        function: The function.
        generators: The generators that it draws from, which may be seeded anew before each replay.
        stream: Stream to capture on.

    Raises:
        RuntimeError: For work that cannot be captured.
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
        """Replay the captured work; return the function's result, in the same memory each time."""
        self._graph.replay()
        return self._result


@final
class CudaGraphAdam(torch.optim.Adam):
    """Adam whose step, with the closure that computes the gradients, can be captured and replayed as a CUDA graph.

    After a call of ``capture`` the first three steps still run one operation at a time, and so do all others where the
    capture fails, which is logged once. The closure must do the same work in every step, on tensors that keep their
    memory.

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
        """Skip a check that on a CPU takes longer than the step.

        It guards against capturing a step that runs on the CPU, as a fused one never does.
        """

    def capture(self, source: Source) -> None:
        """Capture the coming steps, whose closure draws its random numbers from ``source``."""
        if source is not self._source:
            self._source, self._graph, self._steps = source, None, 0
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves its constructor bare

    def set_rates(self, rates: Sequence[float]) -> None:
        """Set the learning rate of each group; a captured step reads it from the same memory."""
        for group, rate in zip(self.param_groups, rates, strict=True):
            if self._source is None:
                group["lr"] = rate
            elif isinstance(group["lr"], Tensor) and group["lr"].device == group["params"][0].device:
                group["lr"].fill_(rate)
            else:
                group["lr"] = torch.full((), rate, device=group["params"][0].device)

    def step(self, closure: Any = None) -> Any:
        """Call the closure, which computes the gradients, and update the parameters; return the closure's result."""
        if self._source is None or self._stream is None or closure is None:
            return super().step(closure)
        self._steps += 1
        if self._steps == _WARM_UP + 1:
            self._try_capture(closure, self._source, self._stream)
        return self._aside(closure, self._stream) if self._graph is None else self._graph.replay()

    def _try_capture(self, closure: Any, source: Source, stream: torch.cuda.Stream) -> None:
        try:
            self._graph = CudaGraph(partial(super().step, closure), source.generators, stream)
        except RuntimeError as error:
            source.renew()
            reason = str(error).partition("\n")[0]
            _log.warning("Updates run one operation at a time, as they cannot be captured as a CUDA graph: %s", reason)

    def _aside(self, closure: Any, stream: torch.cuda.Stream) -> Any:
        """Run the step one operation at a time, on the stream of the capture."""
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = super().step(closure)
        torch.cuda.current_stream().wait_stream(stream)
        return result
