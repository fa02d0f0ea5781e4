"""Parts that remember their constructor's arguments, so that they can be built anew and written to a file."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any, Self

from torch import nn

_PLAIN = (bool, int, float, str, type(None))


class Rebuildable:
    """Base of parts that record the arguments of their constructor.

    A subclass does nothing for it. An argument that is a part itself is best kept as an attribute of the same name:
    what stands there later is what counts.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        plain = cls.__init__ in (object.__init__, nn.Module.__init__)
        if not plain and not getattr(cls.__init__, "records", False):
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]  # wrapped once, here

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the constructor by name, with those parts that have been exchanged since.

        Raises:
            ValueError: Where the constructor takes ``*args``, which have no names.
        """
        recorded: dict[str, Any] | None = self.__dict__.get("_arguments", _fields(self))
        if recorded is None:
            raise ValueError(f"{type(self).__name__} takes *args, which cannot be recorded: give its arguments names")
        parts = self.__dict__.get("_modules", {})
        return {name: _now(value, parts[name]) if name in parts else value for name, value in recorded.items()}

    def rebuild(self) -> Self:
        """Build the same part anew, with all parts in it: weights and codebooks are drawn again.

        Parts that are used twice are used twice in the result too. Modules that record nothing are copied, and reset
        by their ``reset_parameters`` where they have it.

        Example:
            >>> from qcodec import AnnealedDither, ScalarQuantizer
            >>> twin = AnnealedDither(ScalarQuantizer(levels=8), std=0.3, updates=10).rebuild()
            >>> twin.quantizer.levels, twin.std
            (8, 0.3)
        """
        twin: Self = _rebuilt(self, {})
        return twin


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)
    kinds = [parameter.kind for parameter in signature.parameters.values()]

    @functools.wraps(init)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for (name, value), kind in list(zip(bound.arguments.items(), kinds, strict=True))[1:]:
            arguments |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
        unnamed = inspect.Parameter.VAR_POSITIONAL in kinds
        self.__dict__["_arguments"] = None if unnamed else arguments  # the outermost constructor's come last, and stay

    recorded.records = True  # type: ignore[attr-defined]  # a mark on the function itself
    return recorded


def _fields(part: Any) -> dict[str, Any]:
    """Return what a dataclass takes, whose constructor is made after ``__init_subclass__``; of others nothing."""
    if not dataclasses.is_dataclass(part):
        return {}
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}


def _now(given: Any, standing: Any) -> Any:
    """Return the part, or the parts, that stand where those given were put; any other argument as it was given."""
    if isinstance(given, list | tuple) and isinstance(standing, nn.ModuleList):
        return type(given)(standing) if all(isinstance(each, nn.Module) for each in given) else given
    if isinstance(given, dict) and isinstance(standing, nn.ModuleDict):
        return dict(standing.items()) if all(isinstance(each, nn.Module) for each in given.values()) else given
    exchanged = isinstance(given, nn.Module) or (given is None and isinstance(standing, Rebuildable))
    return standing if exchanged else given


def _rebuilt(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, Rebuildable | nn.Module):
        if id(value) not in memo:
            memo[id(value)] = _rebuilt_part(value, memo)
        return memo[id(value)]
    if isinstance(value, list | tuple):
        return type(value)(_rebuilt(each, memo) for each in value)
    if isinstance(value, dict):
        return {key: _rebuilt(each, memo) for key, each in value.items()}
    return value


def _rebuilt_part(part: Any, memo: dict[int, Any]) -> Any:
    if isinstance(part, Rebuildable):
        return type(part)(**{name: _rebuilt(value, memo) for name, value in part.arguments().items()})
    copied = deepcopy(part, {id(inside): _rebuilt(inside, memo) for inside in _parts_in(part)})
    _reset(copied)
    return copied


def _parts_in(module: nn.Module) -> Iterator[nn.Module]:
    """Return the outermost parts that lie in a module which records nothing."""
    for child in module.children():
        if isinstance(child, Rebuildable):
            yield child
        else:
            yield from _parts_in(child)


def _reset(module: nn.Module) -> None:
    if isinstance(module, Rebuildable):
        return
    if callable(reset := getattr(module, "reset_parameters", None)):
        reset()
    for child in module.children():
        _reset(child)


def settings_of(part: Any) -> Any:
    """Return a part's class and arguments as numbers, strings, lists and dictionaries, for a file.

    A tuple is written as ``{"tuple": [...]}``, so that ``build`` returns one.

    Raises:
        ValueError: For a part, or an argument of one, that cannot be built from such values.

    Example:
        >>> from qcodec import CodebookDropout
        >>> settings_of(CodebookDropout(0.5))
        {'class': 'qcodec.quantizers.allocators.CodebookDropout', 'arguments': {'probability': 0.5}}
    """
    if isinstance(part, _PLAIN):
        return part
    if isinstance(part, list):
        return [settings_of(each) for each in part]
    if isinstance(part, tuple):
        return {"tuple": [settings_of(each) for each in part]}
    if isinstance(part, Mapping) and not {"class", "tuple"} & set(part) and all(isinstance(key, str) for key in part):
        return {key: settings_of(value) for key, value in part.items()}
    kind = type(part)
    if isinstance(part, Rebuildable):
        arguments = part.arguments()
    elif dataclasses.is_dataclass(part):
        arguments = _fields(part)
    else:
        raise ValueError(
            f"a {kind.__module__}.{kind.__qualname__} cannot be written to a file: pass what it is made of"
        )
    if "<locals>" in kind.__qualname__:
        raise ValueError(f"{kind.__qualname__} is defined inside a function, where no file can name it: move it out")
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "arguments": {name: settings_of(value) for name, value in arguments.items()},
    }


def build(settings: Any, trust: Sequence[str] = ()) -> Any:
    """Build what ``settings_of`` described.

    Args:
        settings: Its result.
        trust: Modules beside qcodec whose classes may be built, which runs their code.

    Raises:
        ValueError: For a class of another module, one that is not there, or arguments that do not fit it.

    Example:
        >>> from qcodec import CodebookDropout
        >>> build(settings_of(CodebookDropout(0.5))).probability
        0.5
    """
    if isinstance(settings, list):
        return [build(each, trust) for each in settings]
    if not isinstance(settings, Mapping):
        return settings
    if set(settings) == {"tuple"} and isinstance(settings["tuple"], list):
        return tuple(build(each, trust) for each in settings["tuple"])
    if set(settings) != {"class", "arguments"}:
        return {key: build(value, trust) for key, value in settings.items()}
    kind = _class_of(settings["class"], trust)
    if not isinstance(settings["arguments"], Mapping):
        raise ValueError(f"the settings of {kind.__name__} have no names")
    arguments = {name: build(value, trust) for name, value in settings["arguments"].items()}
    try:
        return kind(**arguments)
    except ValueError:
        raise
    except Exception as error:  # a damaged file's settings can fail in any way: by their kind, or for want of memory
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the settings {sorted(arguments)} do not fit {kind.__name__}: {reason}") from error


def build_as(kind: type, settings: Any, trust: Sequence[str] = ()) -> Any:
    """Build what ``settings_of`` described, which must be of a class or a subclass of it.

    Raises:
        ValueError: For another class, and as ``build`` does.
    """
    part = build(settings, trust)
    if not isinstance(part, kind):
        raise ValueError(f"it describes a {type(part).__name__}, which is no {kind.__name__}")
    return part


def _class_of(path: Any, trust: Sequence[str]) -> type:
    module, _, name = str(path).rpartition(".")
    if not any(module == root or module.startswith(f"{root}.") for root in ("qcodec", *trust)):
        raise ValueError(
            f"it is made of {path}, which is not of qcodec: if you trust that code, let it run with --trust "
            f"{module or path}"
        )
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(
            f"there is no class {path}: a newer version of qcodec may have written this, or the module is not in the "
            "current folder or on PYTHONPATH"
        ) from None
    if not isinstance(kind, type) or not (issubclass(kind, Rebuildable) or dataclasses.is_dataclass(kind)):
        raise ValueError(f"{path} is no part of a codec: it is refused")
    return kind
