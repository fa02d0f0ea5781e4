"""One line of a parser's nested error message: the full path of the setting, and what is wrong with it."""

import ast
import dataclasses
import difflib
import inspect
import re
import typing
from abc import ABC
from collections.abc import Iterator
from importlib import import_module

_FRAME = re.compile(r"Does not validate|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>|Problem with given")
_KEY, _CLASS = re.compile(r'[Pp]arser key "([^"]+)"'), re.compile(r"Problem with given class_path '([^']+)'")
_UNKNOWN = re.compile(r"(?:Group '(\w+)' does not accept option|Option) '([^']+)'|unrecognized arguments: --([\w.]+)=")


def innermost(message: str) -> str:
    """Return the path of the setting and the deepest cause of one of jsonargparse's nested messages, and known names.

    Example:
        >>> innermost('Parser key "model":\\n  Parser key "levels":\\n    Expected a <class \\'int\\'>')
        'model.levels: expected int'
    """
    lines = [line for line in message.splitlines() if line.strip(" -")]
    causes = [
        (number, line)
        for number, line in enumerate(lines)
        if not _FRAME.match(line.strip(" -")) and not line.rstrip().endswith('":')
    ]
    if not causes:
        return " ".join(message.split())
    depth = max(_indent(line) for _, line in causes)
    number, cause = max((each for each in causes if _indent(each[1]) == depth), key=lambda each: _rank(each[1]))
    steps = list(_steps(lines, number))
    path = _path(steps, message)
    if not path:
        return cause.strip(" -")
    classes = [name for kind, name in steps if kind == "class"]
    told = _plain(cause.strip(" -"), classes[-1] if classes else "")
    if classes and classes[-1].endswith((".yaml", ".yml")):
        path, told = path.removesuffix(".class_path"), f"there is no file {classes[-1]}, seen from that of the setting"
    if (option := _option(cause)) and not path.endswith(option):
        path = f"{path}.{option}"
    if (
        (given := re.search(r"Given value: (\S+)$", message))
        and "Got value" not in told
        and told.startswith("expected")
    ):
        told += f". Got value: {given[1]}"
    return f"{path}: {told}"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" -"))


def _rank(cause: str) -> int:
    """Return how specific a line is: that a type of a union does not fit is the least specific."""
    return 0 if re.match(r"[ -]*Expected a (<class|path)", cause) else 1


def _steps(lines: list[str], cause: int) -> Iterator[tuple[str, str]]:
    """Return the keys and classes that enclose a line, from the outside in."""
    enclosing: list[str] = []
    indent = _indent(lines[cause]) + 1
    for line in reversed(lines[: cause + 1]):
        if _indent(line) < indent:
            indent = _indent(line)
            enclosing.append(line)
    for line in reversed(enclosing):
        if key := _KEY.search(line):
            yield "key", key[1]
        elif problem := _CLASS.search(line):
            yield "class", problem[1]


def _path(steps: list[tuple[str, str]], message: str) -> str:
    """Return the dotted path that names the setting on the command line."""
    nested = re.findall(r"NestedArg\(key='([^']+)'", message)  # the outermost comes last
    if nested and steps:
        inside = len(steps) > 1 and steps[1][0] == "class"
        return ".".join([steps[0][1], *["init_args"] * inside, nested[-1]])
    keys: list[str] = []
    given = re.findall(r"Given value: (.*)", message)
    for position, (kind, name) in enumerate(steps):
        if kind == "key":
            keys.append(name)
        elif place := _place_of_settings(name):
            keys.append(place)
        elif position and (entry := _failed_entry(given, steps[position - 1][1])):
            keys.append(entry)
    if (required := re.search(r"arguments are required: (\w+)", message)) and (
        owner := re.search(rf"'(\w+)': Namespace\(class_path='[^']*', init_args=Namespace\({required[1]}=None", message)
    ):
        keys.append(owner[1])
    return ".".join(keys)


def _place_of_settings(class_path: str) -> str:
    """Return where settings of the class stand: in ``init_args``, but not those of a dataclass that is the only choice.

    It is ``class_path`` for one that cannot be imported.
    """
    try:
        owner = _imported(class_path)
    except (ImportError, AttributeError):
        return "class_path"
    return "init_args" if not dataclasses.is_dataclass(owner) or ABC in inspect.getmro(typing.cast(type, owner)) else ""


def _failed_entry(given: list[str], key: str) -> str | None:
    """Return the name of the entry of a dictionary that was not understood: the first that is no ``Namespace`` yet."""
    for text in reversed(given):
        try:
            tree = ast.parse(re.sub(r"\w*Path_\w+\([^()]*\)", "None", text.strip()), mode="eval")
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            for name, value in _entries(node):
                if name == key:
                    return next((entry for entry, v in _entries(value) if not isinstance(v, ast.Call)), None)
    return None


def _entries(node: ast.AST) -> list[tuple[str, ast.AST]]:
    """Return keys and values of a dictionary, or of a ``Namespace(key=value)``."""
    if isinstance(node, ast.Call):
        return [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [(str(key.value), value) for key, value in pairs if isinstance(key, ast.Constant)]
    return []


def _option(cause: str) -> str:
    """Return the dotted name of a setting that there is not."""
    if not (match := _UNKNOWN.search(cause)):
        return ""
    group, option, argument = match.groups()
    return argument or (f"{group}.{option}" if group else option)


def _plain(cause: str, class_path: str) -> str:
    """Return the message without Python's notation for types, with the names that exist."""
    cause = re.sub(r"Expected a <class '(?:\w+\.)*(\w+)'>", r"expected \1", cause)
    cause = re.sub(r"Expected a typing\.Literal\[([^\]]*)\]", r"expected one of \1", cause)
    if class_path and (option := _option(cause)):
        group, _, name = option.rpartition(".")
        names = ", ".join(_names(class_path, group))
        return f"{group + ' has' if group else 'there is'} no setting {name!r}: choose one of {names}"
    if required := re.match(r"the following arguments are required: (\w+)", cause):
        return f"has no `{required[1]}`: name one, or check the spelling of the name"
    if missing := re.match(r"Expected a dot import path string: (.*)", cause):
        return f"{missing[1]!r} is no class: name its path, such as qcodec.ScalarQuantizer"
    if missing := re.match(r"module '([\w.]+)' has no attribute '(\w+)'", cause):
        near = difflib.get_close_matches(missing[2], dir(import_module(missing[1])), n=3)
        return f"there is no {missing[1]}.{missing[2]}: " + (
            f"did you mean {' or '.join(near)}?" if near else "check the spelling of the class"
        )
    return cause


def _imported(class_path: str) -> object:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def _names(class_path: str, group: str) -> list[str]:
    """Return the settings of a class or factory, or of the dataclass that is its setting ``group``."""
    owner: typing.Any = _imported(class_path)
    if not group:
        return list(inspect.signature(owner).parameters)
    plain_class = inspect.isclass(owner) and not dataclasses.is_dataclass(owner)
    kind = typing.get_type_hints(inspect.getattr_static(owner, "__init__") if plain_class else owner).get(group)
    return [field.name for field in dataclasses.fields(kind)] if isinstance(kind, type) else []
