"""One update of many systems: their data and noise, and the calls that systems of equal layers share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from qcodec.data.stream import Sampler, SyntheticStream
from qcodec.layers.batched_mlp import apply_batched_mlps
from qcodec.quantizers.base import QuantizerOutput
from qcodec.random_streams import STREAMS, BatchStreams, stream_seed
from qcodec.tasks.system import SystemCodec

# Members that share a call on a CPU: more save little of what a call costs, and their signals do not fit the cache.
_MOST_ON_CPU = 3
# Bytes of the largest block whose freeing glibc learns from (mallopt(3), M_MMAP_THRESHOLD), less what it needs itself.
_LARGEST_BLOCK = 31 << 20


@dataclass(frozen=True)
class SurrogateOutput:
    """Embeddings, quantizer outputs and decoded signals of systems side by side, system after system.

    Attributes:
        z: ``(members, D, T)`` embeddings.
        outputs: Output of each system's quantizer.
        decoded: ``(members, features, T)`` decoded signals.
    """

    z: Tensor
    outputs: Sequence[QuantizerOutput]
    decoded: Tensor

    def each(self) -> Iterator[tuple[Tensor, QuantizerOutput, Tensor]]:
        """Return embeddings, output and decoded signals of one system after the other."""
        systems = len(self.outputs)
        return zip(self.z.chunk(systems), self.outputs, self.decoded.chunk(systems), strict=True)


def pass_together(systems: Sequence[SystemCodec], x: Tensor, noise: BatchStreams) -> SurrogateOutput:
    """Encode, quantize and decode signals ``(seeds, features, T)`` by systems whose codecs have the same layers."""
    z = apply_batched_mlps([system.codec.encoder for system in systems], x)
    parts = z.chunk(len(systems))
    outputs = [system.quantize(part, noise) for system, part in zip(systems, parts, strict=True)]
    z_hat = outputs[0].z_hat if len(systems) == 1 else torch.cat([output.z_hat for output in outputs])
    return SurrogateOutput(z, outputs, apply_batched_mlps([system.codec.decoder for system in systems], z_hat))


@final
class JointUpdate:
    """Data, noise and grouping of the systems that one update trains.

    Systems whose codecs have the same layers share one call of each layer (``groups``). Every member draws data and
    noise by its own seed, so it trains as it would alone.

    Args:
        stream: The data.
        seeds: One seed per member of a system.
        systems: The systems by name.

    Attributes:
        sampler: Draws the data.
        noise: Random numbers for the quantizers, a stream per seed.
        groups: Systems whose codecs have the same layers, by name; on a CPU at most three members a group.
    """

    def __init__(self, stream: SyntheticStream, seeds: Sequence[int], systems: Mapping[str, SystemCodec]) -> None:
        self.sampler = Sampler(stream, seeds)
        self.noise = BatchStreams(len(seeds), stream.device)
        self._seeds = tuple(seeds)
        on_cpu = torch.device(stream.device).type == "cpu"
        if on_cpu:
            _keep_freed_memory()
        self.groups = _same_layers(systems, _MOST_ON_CPU // len(seeds) if on_cpu else len(systems))

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph can capture the update: it does the same work every time, on tensors alone."""
        return all(system.quantizers[0].entries_independent for group in self.groups for system in group.values())

    @property
    def generators(self) -> list[torch.Generator]:
        """Every generator that was needed so far."""
        return [*self.sampler.streams.generators, *self.noise.generators]

    def renew(self) -> None:
        """Draw the same from new generators."""
        self.sampler.streams.renew()
        self.noise.renew()

    def seek(self, index: int) -> None:
        """Seed data and noise for draw number ``index``."""
        self.sampler.seek(index)
        key = (self.sampler.stream.rank, STREAMS["noise"], index)
        self.noise.start([stream_seed(seed, *key) for seed in self._seeds])


def _keep_freed_memory() -> None:
    """Set glibc to keep the memory that an update frees for the next one; returning it costs a quarter more time.

    glibc keeps up to twice the largest block that was ever freed, so one is freed that is large enough.
    """
    torch.empty(_LARGEST_BLOCK, dtype=torch.uint8)


def _same_layers(systems: Mapping[str, SystemCodec], most: int) -> list[dict[str, SystemCodec]]:
    """Group systems whose codecs have the same layers, at most ``most`` in a group, but one at least."""
    alike: dict[object, list[dict[str, SystemCodec]]] = {}
    for name, system in systems.items():
        groups = alike.setdefault((system.codec.encoder.layers, system.codec.decoder.layers), [{}])
        if len(groups[-1]) >= max(1, most):
            groups.append({})
        groups[-1][name] = system
    return [group for groups in alike.values() for group in groups]
