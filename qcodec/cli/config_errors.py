"""Makes one line of a parser's nested error message."""

import dataclasses
import inspect
import re
import typing
from importlib import import_module

_FRAME = re.compile(r"Does not validate|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>|Problem with given")


def innermost(message: str) -> str:
    """Give the keys and the deepest cause of one of jsonargparse's nested, many-lined messages, and the known names.

    Example:
        >>> innermost('Parser key "model":\\n  Parser key "levels":\\n    Expected a <class \\'int\\'>')
        'model.levels: expected int'
    """
    lines = [line for line in message.splitlines() if line.strip(" -")]
    keys = re.findall(r'[Pp]arser key "([^"]+)"', message)
    classes = re.findall(r"given class_path '([^']+)'", message)
    causes = [line for line in lines if not _FRAME.match(line.strip(" -")) and not line.rstrip().endswith('":')]
    if not causes:
        return " ".join(message.split())
    depth = max(_indent(line) for line in causes)
    cause = [line.strip(" -") for line in causes if _indent(line) == depth][-1]
    if given := re.search(r"NestedArg\(key='([^']+)'", message):
        keys = [keys[0], *given[1].split(".")] if keys else given[1].split(".")
    if required := re.search(r"arguments are required: (\w+)$", cause):
        owner = re.search(rf"'(\w+)': Namespace\(class_path='[^']*', init_args=Namespace\({required[1]}=None", message)
        keys += [owner[1]] if owner else []
    return f"{'.'.join(keys)}: {_plain(cause, classes)}" if keys else cause


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" -"))


def _plain(cause: str, classes: list[str]) -> str:
    """Say it without Python's notation for types, and add which names there are."""
    cause = re.sub(r"Expected a <class '(?:\w+\.)*(\w+)'>", r"expected \1", cause)
    cause = re.sub(r"Expected a typing\.Literal\[([^\]]*)\]", r"expected one of \1", cause)
    if option := re.match(r"(?:Group '(\w+)' does not accept option|Option) '([^']+)'", cause):
        group, name = option.groups()
        known = _names(classes[-1], group) if classes else []
        return f"{group + ' has' if group else 'there is'} no setting {name!r}: choose one of {', '.join(known)}"
    if required := re.match(r"the following arguments are required: (\w+)", cause):
        return f"has no `{required[1]}`: give one, or check the spelling of the name"
    if missing := re.match(r"Expected a dot import path string: (.*)", cause):
        return f"{missing[1]!r} is no class: give its path, such as qcodec.ScalarQuantizer"
    return cause


def _names(class_path: str, group: str | None) -> list[str]:
    """Names of the settings of a class, or of the dataclass that is its setting ``group``."""
    module, _, name = class_path.rpartition(".")
    owner = getattr(import_module(module), name)
    if group is None:
        return list(inspect.signature(owner).parameters)
    kind = typing.get_type_hints(owner if dataclasses.is_dataclass(owner) else owner.__init__).get(group)
    return [field.name for field in dataclasses.fields(kind)] if isinstance(kind, type) else []
