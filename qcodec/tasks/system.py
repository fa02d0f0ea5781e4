"""A system: one quantizer with its losses in a surrogate codec, trained with several seeds at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor, nn

from qcodec.codecs.surrogate import SurrogateCodec
from qcodec.losses.weights import LossWeights
from qcodec.quantizers.base import Quantizer, QuantizerOutput
from qcodec.quantizers.checks import check_is
from qcodec.random_streams import STREAMS, BatchStreams, drawing_from, stream_seed
from qcodec.schedules import Schedule

_MOST_MEMBERS = 100_000  # codecs side by side


@dataclass(frozen=True)
class System:
    """What is compared: a quantizer (with its gradient estimator) and the weights of its losses.

    Attributes:
        quantizer: The quantizer between encoder and decoder.
        losses: Weights of the quantizer's losses beside the MSE.
        embedding: Values per frame of the embedding, the paper's F.
        schedule: Learning rate; the task's if left out.
    """

    quantizer: Quantizer
    losses: LossWeights = field(default_factory=LossWeights)
    embedding: int = 30
    schedule: Schedule | None = None


class SystemCodec(nn.Module):
    """The codecs of one system, a member per seed.

    Members share one quantizer where it promises to treat the entries of a batch apart; any other is built anew for
    each member under its seed, so that a member trains exactly as it would alone, and no two start alike.

    Args:
        quantizer: Quantizer, from whose settings those in use are built.
        codec: Codec with as many members as there are seeds.
        seeds: One seed per member.
    """

    def __init__(self, quantizer: Quantizer, codec: SurrogateCodec, seeds: Sequence[int]) -> None:
        super().__init__()
        self.codec, self.seeds = codec, tuple(seeds)
        shared = quantizer.entries_independent
        self.quantizers = nn.ModuleList([quantizer.rebuild()] if shared else _per_seed(quantizer, self.seeds))

    def quantize(self, z: Tensor, noise: BatchStreams) -> QuantizerOutput:
        """Quantize embeddings ``(members, D, T)`` with random numbers from ``noise``, which has a stream per member."""
        if self.quantizers[0].entries_independent:
            with drawing_from(noise):
                shared: QuantizerOutput = self.quantizers[0](z)
            return shared
        outputs = []
        with torch.random.fork_rng(devices=[z.device] if z.is_cuda else []):
            for quantizer, member, seed in zip(self.quantizers, torch.split(z, 1), noise.seeds, strict=True):
                # torch.manual_seed prepares every kind of accelerator, at the cost of a whole stack
                (torch.default_generator if z.is_cpu else torch).manual_seed(seed)
                outputs.append(quantizer(member))
        return outputs[0] if len(outputs) == 1 else _concatenate(outputs)


def _per_seed(quantizer: Quantizer, seeds: Sequence[int]) -> list[Quantizer]:
    built = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(stream_seed(seed, STREAMS["weights"]))
            built.append(quantizer.rebuild())
    return built


def _concatenate(outputs: Sequence[QuantizerOutput]) -> QuantizerOutput:
    tensors = [
        f.name for f in fields(QuantizerOutput) if f.name != "losses" and getattr(outputs[0], f.name) is not None
    ]
    return QuantizerOutput(
        **{name: torch.cat([getattr(o, name) for o in outputs]) for name in tensors},
        losses={name: torch.cat([o.losses[name] for o in outputs]) for name in outputs[0].losses},
    )


def check_systems(systems: Mapping[str, System], seeds: int) -> None:
    """Raise ``ValueError`` or ``TypeError`` for systems that cannot be trained with so many seeds."""
    if not systems:
        raise ValueError("there is no system to train: name at least one under `systems`")
    if seeds < 1:
        raise ValueError(f"seeds={seeds} trains nothing: choose 1 or more")
    if seeds * len(systems) > _MOST_MEMBERS:
        raise ValueError(f"seeds={seeds} of {len(systems)} systems are more than {_MOST_MEMBERS} codecs: choose fewer")
    for name, system in systems.items():
        check_is(system, System, f"systems[{name!r}]")
        check_is(system.quantizer, Quantizer, f"systems[{name!r}].quantizer")
        check_is(system.losses, LossWeights, f"systems[{name!r}].losses")
        if not name or set(name) & set("/. "):
            raise ValueError(f"the system name {name!r} holds '/', '.' or a space, or is empty: use letters, digits, _")
        if hasattr(nn.ModuleDict, name):
            raise ValueError(f"a system cannot be named {name!r}, as torch's modules use that name: add a word to it")
