"""How far around a frame a part looks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class ReceptiveField:
    """Frames beside a frame that its result depends on.

    Attributes:
        left: Frames before it.
        right: Frames after it.
    """

    left: int = 0
    right: int = 0


def widest(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """Return the field that holds all of these; ``None``, a whole recording, where one of them is ``None``.

    Example:
        >>> widest([ReceptiveField(1, 0), ReceptiveField(0, 2)])
        ReceptiveField(left=1, right=2)
    """
    known = list(fields)
    if any(field is None for field in known):
        return None
    sides = [(field.left, field.right) for field in known if field is not None]
    return ReceptiveField(max((left for left, _ in sides), default=0), max((right for _, right in sides), default=0))
