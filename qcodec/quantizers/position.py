"""Where in a recording the frames lie that a quantizer is called with."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_first: ContextVar[int] = ContextVar("first", default=0)


@contextmanager
def frames_from(first: int) -> Iterator[None]:
    """Return a context in which embeddings and codes begin with the frame ``first`` of their recording.

    Example:
        >>> with frames_from(100):
        ...     first_frame()
        100
    """
    token = _first.set(first)
    try:
        yield
    finally:
        _first.reset(token)


def first_frame() -> int:
    """Return the number of the first frame of what a quantizer is called with: 0 outside of ``frames_from``."""
    return _first.get()
