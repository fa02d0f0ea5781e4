"""What differs between the settings of a run and those that it is resumed with, kept in its ``config.yaml``."""

from collections.abc import Iterator
from typing import Any

import yaml

_MARK = "# Resumed at update "
# where a run lies, and not what it does
_PLACES = ("run_dir", "ckpt_path", "weights_only", "trainer.default_root_dir")


def resumed_settings(former: str, settings: str, update: int) -> tuple[str, list[str]]:
    """Return the text of ``config.yaml`` of a resumed run, and its differences in words.

    The text begins with a comment for each time that the run was resumed with other settings, what they had been
    included, so that the settings of every part of it can be told.

    Args:
        former: The text of the file so far.
        settings: That of the settings to go on with.
        update: From which update on they hold.

    Example:
        >>> text, said = resumed_settings("trainer: {max_epochs: 1}", "trainer: {max_epochs: 2}", 400)
        >>> print(text)
        # Resumed at update 400: trainer.max_epochs 2 instead of 1
        trainer: {max_epochs: 2}
    """
    try:
        before = yaml.safe_load(former)
    except yaml.YAMLError:
        before = None
    old, new = dict(_flat(before)), dict(_flat(yaml.safe_load(settings)))
    said = [
        f"{name} {_short(new.get(name))} instead of {_short(old.get(name))}"
        for name in dict.fromkeys([*old, *new])
        if name not in _PLACES and not name.endswith(".save_dir") and old.get(name) != new.get(name)
    ]
    history = [line for line in former.splitlines() if line.startswith(_MARK)]
    if said:
        history.append(f"{_MARK}{update}: {'; '.join(said)}")
    return "".join(f"{line}\n" for line in history) + settings, said


def _flat(settings: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, list) and settings and all(isinstance(value, dict) for value in settings):
        settings = dict(enumerate(settings))
    if isinstance(settings, dict) and settings:
        for name, value in settings.items():
            yield from _flat(value, f"{at}.{name}" if at else str(name))
    elif at:
        yield at, settings


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
