"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a new file beside ``path``; it takes that name when the block ends well, and is removed when it does not.

    Raises:
        OSError: Where nothing can be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "codes.qc"
        >>> try:
        ...     with atomic_write(path) as file:
        ...         raise ValueError
        ... except ValueError:
        ...     list(path.parent.iterdir())
        []
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(part, "x+b") as file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
