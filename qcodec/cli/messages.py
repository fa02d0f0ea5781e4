"""Makes one line of a parser's nested error message."""

import re


def innermost(message: str) -> str:
    """Give the key and the deepest cause of one of jsonargparse's nested, many-lined messages.

    Example:
        >>> innermost('Parser key "model":\\n  Problem with given class_path:\\n    Parser key "levels":\\n      Not an int')
        'model.levels: Not an int'
    """
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    keys = [match for line in lines for match in re.findall(r'[Kk]ey "([^"]+)"', line)]
    return f"{'.'.join(keys)}: {lines[-1]}" if keys else lines[-1]
