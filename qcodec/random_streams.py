"""Streams of random numbers that depend on a key alone, on no rank and no other draw."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

# The purpose of a stream of random numbers, part of its seed: equal keys of different purposes give different streams.
STREAMS = {"rotation": 0, "train": 1, "val": 2, "test": 3, "predict": 4, "noise": 5, "weights": 6}
STREAMS |= {"file": 7, "offset": 8, "level": 9, "phase": 10, "domain": 11}


def stream_seed(*key: int) -> int:
    """Mix integers into one 63-bit seed (SplitMix64, Steele et al., OOPSLA 2014), so that near keys give far seeds.

    Example:
        >>> stream_seed(0, 1) != stream_seed(1, 0)
        True
    """
    state = 0
    for part in key:
        state = (state + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


@dataclass(frozen=True)
class _Draw:
    """One draw: its position since ``start``, distribution, shape and dtype."""

    index: int
    kind: Literal["normal", "uniform"]
    shape: tuple[int, ...]
    dtype: torch.dtype


@final
class BatchStreams:
    """Random numbers for a batch, each entry's from a stream of its own.

    The ``i``-th draw for an entry depends on the entry's seed, on ``i`` and on what is drawn, not on the other entries
    or on what was drawn before. After ``rewind`` the same draws return the same tensors, which are drawn once and must
    not be changed in place.

    Args:
        entries: Number of entries.
        device: Where to draw.

    Attributes:
        seeds: One seed per entry.

    Example:
        >>> streams = BatchStreams(2, torch.device("cpu"))
        >>> streams.start([5, 6])
        >>> both = streams.normal((2, 3))
        >>> streams.start([6, 7])
        >>> bool((streams.normal((2, 3))[0] == both[1]).all())
        True
    """

    def __init__(self, entries: int, device: torch.device | str) -> None:
        self.entries, self.device = entries, torch.device(device)
        self.seeds: tuple[int, ...] = (0,) * entries
        self._next = 0
        self._generators: dict[_Draw, list[torch.Generator]] = {}
        self._drawn: dict[_Draw, Tensor] = {}

    @property
    def generators(self) -> list[torch.Generator]:
        """Every generator that was needed so far."""
        return [generator for each in self._generators.values() for generator in each]

    def renew(self) -> None:
        """Drop the generators; new ones draw the same numbers."""
        self._generators.clear()
        self._drawn.clear()

    def start(self, seeds: Sequence[int]) -> None:
        """Restart with one seed per entry."""
        if len(seeds) != self.entries:
            raise ValueError(f"{len(seeds)} seeds for {self.entries} entries of a batch: give one seed per entry")
        self.seeds, self._next = tuple(seeds), 0
        self._drawn.clear()
        for draw, generators in self._generators.items():
            self._seed(draw, generators)

    def rewind(self) -> None:
        """Restart with the same seeds: the same draws return the same numbers."""
        self._next = 0

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw standard normal numbers of a shape whose first dimension counts the entries."""
        return self._draw("normal", shape, dtype)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw numbers that are uniform in [0, 1), of a shape whose first dimension counts the entries."""
        return self._draw("uniform", shape, dtype)

    def _draw(self, kind: Literal["normal", "uniform"], shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        if not shape or shape[0] != self.entries:
            raise ValueError(f"numbers of shape {tuple(shape)} are no batch of {self.entries} entries with a seed each")
        draw = _Draw(self._next, kind, tuple(shape), dtype)
        self._next += 1
        if draw not in self._drawn:
            if draw not in self._generators:
                self._generators[draw] = [torch.Generator(self.device) for _ in range(self.entries)]
                self._seed(draw, self._generators[draw])
            numbers = torch.empty(draw.shape, dtype=dtype, device=self.device)
            for entry, generator in zip(numbers, self._generators[draw], strict=True):
                if kind == "normal":
                    entry.normal_(generator=generator)
                else:
                    entry.uniform_(generator=generator)
            self._drawn[draw] = numbers
        return self._drawn[draw]

    def _seed(self, draw: _Draw, generators: Sequence[torch.Generator]) -> None:
        for seed, generator in zip(self.seeds, generators, strict=True):
            generator.manual_seed(stream_seed(seed, draw.index) if draw.index else seed)


_current: ContextVar[BatchStreams | None] = ContextVar("current", default=None)


@contextmanager
def drawing_from(streams: BatchStreams) -> Iterator[None]:
    """Return a context in which ``normal_like`` and ``uniform_like`` draw from these streams."""
    streams.rewind()
    token = _current.set(streams)
    try:
        yield
    finally:
        _current.reset(token)


@dataclass
class _Part:
    """Entries of a batch in one process, and the states of the random numbers that all processes have in common."""

    first: int
    own: int
    whole: int
    last: bool
    states: dict[torch.device, Tensor]


_part: ContextVar[_Part | None] = ContextVar("part", default=None)


@contextmanager
def part_of_batch(first: int, own: int, whole: int, seed: int, own_seed: int, *, last: bool = True) -> Iterator[None]:
    """Return a context in which a process has some entries of a batch, of which others have the rest.

    What ``own_part``, ``normal_like`` and ``uniform_like`` draw in it for these entries is what one process would draw
    for them that has the whole batch and PyTorch's generators seeded with ``seed``. All else that is drawn depends on
    ``own_seed``, so that processes do not repeat each other's numbers. With the whole batch here, only ``seed`` counts.

    Args:
        first: Number of the first entry in the whole batch.
        own: Number of entries here.
        whole: Number of all.
        seed: Of what the processes have in common.
        own_seed: Of what is this one's.
        last: Whether the process has no further part of the batch, so that what counts updates counts one.
    """
    torch.manual_seed(seed)
    if own == whole:
        yield
        return
    on_gpu = bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]  # PyTorch ships it without annotations
    devices = [torch.device("cpu"), *[torch.device("cuda")] * on_gpu]
    token = _part.set(_Part(first, own, whole, last, {device: _state(device) for device in devices}))
    torch.manual_seed(own_seed)
    try:
        yield
    finally:
        _part.reset(token)


def ends_update() -> bool:
    """Return whether a call in training is the last of an update: all but those for parts of a batch are."""
    part = _part.get()
    return part is None or part.last


def place_in_batch(entries: int) -> tuple[int, int]:
    """Return the number of the first of some entries in the whole batch, and that of all; by default they are all."""
    part = _part.get()
    return (part.first, part.whole) if part and part.own == entries else (0, entries)


def own_part(draw: Callable[[int], Tensor], entries: int) -> Tensor:
    """Draw for the whole batch, by PyTorch's generators, and return what is of the entries here.

    Example:
        >>> with part_of_batch(first=2, own=2, whole=4, seed=0, own_seed=1):
        ...     own_part(torch.arange, 2)
        tensor([2, 3])
    """
    part = _part.get()
    if part is None:
        return draw(entries)
    before = {device: _state(device) for device in part.states}
    for device, state in part.states.items():
        _set_state(device, state)
    try:
        drawn = draw(part.whole if part.own == entries else entries)
    finally:
        for device, state in before.items():
            part.states[device] = _state(device)
            _set_state(device, state)
    return drawn[part.first : part.first + entries] if part.own == entries else drawn


def in_common(draw: Callable[[], Tensor]) -> Tensor:
    """Return what is drawn, the same in every process of a batch."""
    return own_part(lambda _: draw(), -1)


def _state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)


def _set_state(device: torch.device, state: Tensor) -> None:
    torch.set_rng_state(state) if device.type == "cpu" else torch.cuda.set_rng_state(state, device)


def normal_like(x: Tensor) -> Tensor:
    """Draw standard normal numbers of the shape, dtype and device of ``x``, from the streams in use if there are any.

    Example:
        >>> streams = BatchStreams(2, "cpu")
        >>> with drawing_from(streams):
        ...     first = normal_like(torch.empty(2, 3))
        >>> with drawing_from(streams):
        ...     bool((normal_like(torch.empty(2, 3)) == first).all())
        True
    """
    streams = _current.get()
    if streams is not None:
        return streams.normal(x.shape, x.dtype)
    if _part.get() is None:
        return torch.randn_like(x)
    layout = sorted(range(x.dim()), key=x.stride, reverse=True)  # in whose order numbers are drawn, as above

    def draw(entries: int) -> Tensor:
        return torch.empty_permuted((entries, *x.shape[1:]), layout, dtype=x.dtype, device=x.device).normal_()

    return own_part(draw, len(x))


def uniform_like(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Draw numbers that are uniform in [0, 1), of the dtype and device of ``x``, as ``normal_like`` does."""
    streams = _current.get()
    if streams is not None:
        return streams.uniform(shape, x.dtype)
    return own_part(lambda n: torch.rand(n, *shape[1:], dtype=x.dtype, device=x.device), shape[0])
