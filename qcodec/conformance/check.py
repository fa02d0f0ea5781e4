"""All questions to one part of a user's own, whatever its family."""

import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from qcodec.codecs.base import AudioCodec
from qcodec.conformance import codec, gradients, outputs, ranks, state
from qcodec.conformance.question import Answer, Ask, Case, answers
from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.base import Quantizer
from qcodec.quantizers.catalogue import FAMILIES
from qcodec.quantizers.codebooks import Codebook, LearnedCodebook
from qcodec.quantizers.estimators import Estimator
from qcodec.quantizers.layered import Layer, LayeredQuantizer
from qcodec.quantizers.residual import residual_vq
from qcodec.quantizers.scalar import ScalarQuantizer
from qcodec.quantizers.vector import FactorizedVQ, VectorQuantizer

KINDS: tuple[type, ...] = (Quantizer, Estimator, Codebook, RateAllocator, Layer, AudioCodec)
QUESTIONS: tuple[Ask, ...] = (*outputs.QUESTIONS, *gradients.QUESTIONS, *state.QUESTIONS)
_TRIED = (8, 30, *range(1, 33), 64, 128, 256, 512, 1024)
_BUILDS = Callable[[int], Quantizer]


@dataclass(frozen=True)
class Checked:
    """A part in one place where it is used.

    Attributes:
        place: The place, in words.
        answers: The answers, which are found one by one while they are read.
    """

    place: str
    answers: Iterator[Answer]


def check(part: Any, *, channels: int | None = None, processes: bool = True) -> Iterator[Checked]:
    """Ask a part all questions that its family must answer, in each place where such a part is used.

    Args:
        part: Quantizer, estimator, codebook, rate allocator, layer or audio codec.
        channels: Channels D of the embeddings; found by trying if left out.
        processes: Whether to ask also whether two ranks learn as one process does, which takes some seconds.

    Raises:
        ValueError: For an object of no such family, or one that takes no embedding anywhere.

    Example:
        >>> from qcodec import STE, ScalarQuantizer
        >>> (checked,) = check(ScalarQuantizer(levels=3), processes=False)
        >>> {answer.verdict for answer in checked.answers} - {"not asked"}
        {'yes'}
    """
    kind = kind_of(type(part))
    if kind is AudioCodec:
        yield Checked("", answers(codec.QUESTIONS, part))
        return
    questions = (*QUESTIONS, *ranks.QUESTIONS) if processes else QUESTIONS
    refusals, cases = [], {}
    for place, build in _places(kind, part).items():
        try:
            cases[place] = _fitting(build, channels)
        except ValueError as error:
            refusals.append(f"{type(part).__name__} {place}".rstrip() + f": {error}")
    if not cases:
        raise ValueError(refusals[0])
    for place, case in cases.items():
        yield Checked(place, _with_cost(case, answers(questions, case)))


def kind_of(found: object) -> type:
    """Return which of ``KINDS`` a class is of.

    Raises:
        ValueError: For something else.
    """
    kind = next((kind for kind in KINDS if inspect.isclass(found) and issubclass(found, kind)), None)
    if kind is None:
        families = ", ".join([*FAMILIES.values(), "audio codec"])
        raise ValueError(f"{getattr(found, '__name__', found)} is none of these: {families}")
    return kind


def _places(kind: type, part: Any) -> dict[str, _BUILDS]:
    """Return quantizers of a number of channels that a part is used in, by the place's name."""
    places: dict[type, dict[str, _BUILDS]] = {
        Quantizer: {"": lambda channels: part.rebuild()},
        Estimator: {
            "in a ScalarQuantizer": lambda channels: ScalarQuantizer(estimator=part.rebuild()),
            "in a FactorizedVQ": lambda channels: FactorizedVQ(channels, LearnedCodebook(20, 3), part.rebuild()),
        },
        Codebook: {
            "in a VectorQuantizer": lambda channels: VectorQuantizer(part.rebuild()),
            "in a FactorizedVQ": lambda channels: FactorizedVQ(channels, part.rebuild()),
        },
        RateAllocator: {"in a ResidualVQ": lambda channels: residual_vq(channels, 3, 20, 3, part.rebuild())},
        Layer: {
            "before a ScalarQuantizer": lambda channels: LayeredQuantizer(ScalarQuantizer(), before=[part.rebuild()])
        },
    }
    return places[kind]


def _fitting(build: _BUILDS, channels: int | None) -> Case:
    """Return the case of the first number of channels that the quantizer takes."""
    first: Exception | None = None
    for tried in _TRIED if channels is None else (channels,):
        case = Case(partial(build, tried), tried)
        try:
            case.output(case.quantizer(), case.embedding())
        except Exception as error:  # a user's class can fail in any way
            first = first or error
        else:
            return case
    told = " ".join(str(first).split())
    raise ValueError(f"it takes no embedding (4, {channels or 8}, 40): {type(first).__name__}: {told}") from first


def _with_cost(case: Case, asked: Iterator[Answer]) -> Iterator[Answer]:
    yield from asked
    own, plain = (_milliseconds(each) for each in (case, Case(ScalarQuantizer, case.channels)))
    found = f"{own:.3g} ms forward and backward, {own / plain:.3g} times a ScalarQuantizer with STE"
    yield Answer("A call on (4, D, 40) in training", "yes", found)


def _milliseconds(case: Case, calls: int = 20) -> float:
    quantizer, z = case.quantizer(), case.embedding().requires_grad_()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        output = case.output(quantizer, z)
        if output.z_hat.requires_grad:
            torch.autograd.grad(output.z_hat.sum(), z, allow_unused=True)
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[calls // 2]
