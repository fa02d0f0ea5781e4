"""A question to a part, what it is asked of, and the answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from qcodec.quantizers.base import Quantizer, QuantizerOutput

Verdict = Literal["yes", "no", "not asked"]


class BrokenError(Exception):
    """Raised by a question that a part does not fulfil.

    Args:
        found: What was found.
        remedy: What to do about it.
    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}: {remedy}")
        self.found, self.remedy = found, remedy


class NotAskedError(Exception):
    """Raised by a question that has no meaning for a part, with the reason."""


@dataclass(frozen=True)
class Case:
    """A quantizer that is asked.

    Attributes:
        make: Builds one; it is called under a seed.
        channels: Channels D of the embeddings it is asked with.
        features: Channels of the encoder's features; the embedding itself is passed where it is ``None``.
    """

    make: Callable[[], Quantizer]
    channels: int = 8
    features: int | None = None

    def quantizer(self, seed: int = 0) -> Quantizer:
        """Build one under a seed, in training."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make().train()

    def embedding(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return ``(4, D, 40)`` normal values of deviation 2, the first four frames of one entry on levels and ties."""
        z = 2 * torch.randn(4, self.channels, 40, generator=torch.Generator().manual_seed(0))
        z[0, :, :4] = torch.tensor([-1.0, 0.0, 1.0, 0.5])
        return z.to(dtype)

    def output(self, quantizer: Quantizer, z: Tensor, level: float | None = None) -> QuantizerOutput:
        """Call a quantizer as a codec does, with features."""
        output: QuantizerOutput = quantizer(z, features=self.features_of(z), level=level)
        return output

    def features_of(self, z: Tensor) -> Tensor:
        """Return the features ``(B, C, T)`` that go with an embedding."""
        if self.features is None:
            return z
        return z.repeat(1, -(-self.features // z.shape[1]), 1)[:, : self.features]


Ask = Callable[[Case], str]
Asked = TypeVar("Asked")


@dataclass(frozen=True)
class Answer:
    """What came out.

    Attributes:
        question: The question as a statement.
        verdict: Whether it holds.
        found: What was measured, or what is wrong, or why it was not asked.
        remedy: What to do, where it does not hold.
    """

    question: str
    verdict: Verdict
    found: str = ""
    remedy: str = ""


def statement(question: Callable[..., str]) -> str:
    """Return what a question asks, the first line of its docstring."""
    return (question.__doc__ or question.__name__).strip().splitlines()[0].removesuffix(".")


def answers(questions: Sequence[Callable[[Asked], str]], case: Asked) -> Iterator[Answer]:
    """Ask one question after the other; whatever is raised is an answer too."""
    for question in questions:
        try:
            yield Answer(statement(question), "yes", question(case))
        except NotAskedError as reason:
            yield Answer(statement(question), "not asked", str(reason))
        except BrokenError as broken:
            yield Answer(statement(question), "no", broken.found, broken.remedy)
        except Exception as error:
            found = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            yield Answer(statement(question), "no", found, "QCODEC_TRACEBACK=1 shows where it was raised")


def unlike(first: Tensor, second: Tensor) -> str:
    """Return in words by how much two tensors differ; empty where they are equal, what is no number included."""
    if first.shape != second.shape:
        return f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
    if torch.equal(first, second):
        return ""
    difference = (first.double() - second.double()).abs()
    if bool(difference.isnan().any()):
        return "values that are no numbers"
    return f"the largest difference is {difference.max().item():.3g}"
