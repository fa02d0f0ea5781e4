"""Docstrings call their example `Example`, where this site's parser looks for `Examples`."""

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Renames the section before it is parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rename it in one docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
