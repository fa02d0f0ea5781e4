"""What there is to choose from, by what it says of itself: quantizers and the parts that they are made of."""

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

import qcodec.quantizers
from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.base import Quantizer
from qcodec.quantizers.codebooks import Codebook, LearnedCodebook
from qcodec.quantizers.estimators import Estimator, GradientEstimator
from qcodec.quantizers.layered import Layer

# The bases of what is listed, in this order, and what their families are called.
FAMILIES: dict[type, str] = {
    Quantizer: "quantizer",
    GradientEstimator: "estimator from a point",
    Estimator: "estimator from logits",
    Codebook: "codebook",
    RateAllocator: "rate allocator",
    Layer: "layer",
}
_SOURCE = re.compile(r"arXiv|\b(19|20)\d\d\b")
_PART = re.compile(r"Quantizer|Estimator|Codebook|RateAllocator")


@dataclass(frozen=True)
class Entry:
    """One class, or a function that makes a quantizer.

    Attributes:
        name: Its name.
        family: Which of ``FAMILIES``.
        line: What its docstring begins with, without the source.
        source: Where it was published; empty where the docstring names nothing.
        needs: What it takes: parts of its constructor, logits, several dimensions.
        promises: What it says of itself, or shows when it is tried; of its docstring's example, where it needs parts.
    """

    name: str
    family: str
    line: str
    source: str
    needs: tuple[str, ...]
    promises: tuple[str, ...]


@cache
def catalogue() -> tuple[Entry, ...]:
    """Return an entry for everything that this package offers, by family and name; made once a process.

    ``captured`` is ``entries_independent``: all seeds share one call, which a GPU captures as a CUDA graph.

    Example:
        >>> [entry.source for entry in catalogue() if entry.name == "ReinMax"]
        ['Liu et al., arXiv 2304.08612']
    """
    names = [module.name for module in pkgutil.iter_modules(qcodec.quantizers.__path__)]
    modules = [importlib.import_module(f"qcodec.quantizers.{name}") for name in names]
    entries = [entry_of(each) for module in modules for each in _offered(module)]
    order = list(FAMILIES.values())
    return tuple(sorted(entries, key=lambda entry: (order.index(entry.family), entry.name.lower())))


def entry_of(kind: Any) -> Entry:
    """Return the entry of a class, or of a function that returns a quantizer.

    Raises:
        ValueError: For something else, or a class whose methods are not all written.

    Example:
        >>> from qcodec import ModifiedSTE
        >>> entry_of(ModifiedSTE).promises
        ('exact forward', 'captured')
    """
    made = _made(kind)
    family = next((name for base, name in FAMILIES.items() if issubclass(made, base)), None)
    if family is None or inspect.isabstract(kind):
        name = getattr(kind, "__name__", kind)
        raise ValueError(f"{name} is not a class of one of these that can be built: {', '.join(FAMILIES.values())}")
    line, source = _first_sentence(inspect.getdoc(kind) or "")
    part = _example(kind, made)
    needs = [name for name, each in inspect.signature(kind).parameters.items() if _PART.search(str(each.annotation))]
    if part is None:
        return Entry(kind.__name__, family, line, source, tuple(needs), ("its example does not run here",))
    if isinstance(part, Estimator):
        needs += [] if isinstance(part, GradientEstimator) else ["logits"]
        needs += [] if _takes_one_dimension(part) else ["2 dimensions"]
    return Entry(kind.__name__, family, line, source, tuple(needs), tuple(_promises(part)))


def _offered(module: Any) -> Iterator[Any]:
    for name, value in vars(module).items():
        own = not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        if own and not inspect.isabstract(value) and issubclass(_made(value), tuple(FAMILIES)):
            yield value


def _made(kind: Any) -> type:
    """Return what calling ``kind`` makes: itself if it is a class, what a function says, ``object`` for all else."""
    made = inspect.signature(kind).return_annotation if inspect.isfunction(kind) else kind
    return made if inspect.isclass(made) else object


def _first_sentence(doc: str) -> tuple[str, str]:
    """Return the first sentence of a docstring without its source, and that source, which stands in parentheses."""
    first = " ".join(doc.split("\n\n")[0].split())
    source = next((inside for inside in _in_parentheses(first) if _SOURCE.search(inside)), "")
    plain = first.replace(f" ({source})", "") if source else first
    return re.split(r"(?<=[^.][.])\s", plain)[0].removesuffix("."), source


def _in_parentheses(text: str) -> Iterator[str]:
    """Yield what stands in outer parentheses."""
    depth = start = 0
    for place, letter in enumerate(text):
        if letter == "(":
            depth += 1
            start = place + 1 if depth == 1 else start
        elif letter == ")":
            depth -= 1
            if depth == 0:
                yield text[start:place]


def _example(kind: Any, made: type) -> Any:
    """Build one with its defaults, or by its docstring's example; ``None`` where neither works."""
    try:
        return kind()
    except TypeError:
        pass
    names = dict(vars(inspect.getmodule(kind)))
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(kind) or ""):
        try:
            exec(example.source, names)
        except Exception:  # such as a package that is not installed
            return None
        found = [value for name, value in names.items() if isinstance(value, made) and not name.startswith("_")]
        if found:
            return found[0]
    return None


def _takes_one_dimension(estimator: Estimator) -> bool:
    try:
        estimator.rebuild().select(torch.zeros(1, 1, 2), LearnedCodebook(3, 1, "euclidean"))
    except ValueError:
        return False
    return True


def _promises(part: Any) -> Iterator[str]:
    """Yield what a part answers to the questions that those who use it ask."""
    if isinstance(part, Quantizer | Estimator):
        yield from ["exact forward"] * part.exact
    if isinstance(part, Quantizer | Estimator | Layer):
        yield from ["captured"] * part.entries_independent
    if isinstance(part, Quantizer):
        yield from ["file"] * (_code_sizes(part) is not None)
        yield from ["several rates"] * (part.allocator is not None)
    if isinstance(part, Estimator):
        yield from ["trains the codebook"] * _trains_the_codebook(part)
    if isinstance(part, Codebook):
        follows = type(part).observe is not Codebook.observe
        yield "trained by gradients" if part.learned else "follows its frames" if follows else "fixed"
    if isinstance(part, Layer):
        yield from ["in training alone"] * (part.deployed() is None)
    if isinstance(part, RateAllocator):
        yield "a rate for each frame" if part.per_frame else "one rate for a recording"


def _code_sizes(quantizer: Quantizer) -> tuple[int, ...] | None:
    """Return them for the fewest channels that the quantizer takes."""
    for channels in range(1, 1025):
        try:
            return quantizer.code_sizes(channels)
        except ValueError:
            continue
    return None


def _trains_the_codebook(estimator: Estimator) -> bool:
    codebook = LearnedCodebook(5, 2, "euclidean")
    z = torch.randn(1, 2, 20, generator=torch.Generator().manual_seed(0))
    z_hat = estimator.rebuild().select(z.requires_grad_(), codebook).z_hat
    if not z_hat.requires_grad:
        return False
    gradient = torch.autograd.grad(z_hat.square().sum(), codebook.weight, allow_unused=True)[0]
    return gradient is not None and bool(gradient.any())
