"""The surrogate codec: a tiny fully connected encoder and decoder, several of them side by side."""

from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor

from qcodec.codecs.base import Codec, Embedding
from qcodec.layers.batched_mlp import BatchedMLP


@final
class SurrogateCodec(Codec):
    """Encoder and decoder of three fully connected layers each (arXiv 2502.04770, section 4), for many members.

    Every layer maps frame by frame. Skip connections go around all layers but the last of the encoder and the first
    and last of the decoder; a PReLU follows every layer but the encoder's last. Members are independent codecs:
    each has its own weights, drawn from its own seed as ``torch.nn.Linear`` draws them.

    Args:
        members: Number of codecs side by side.
        features: Values per frame of the signal, the paper's P.
        embedding: Values per frame of the embedding, the paper's F.
        skip_position: Whether a skip connection is added ``before`` the PReLU or ``after``; the paper leaves it open.
        slope: Whether a PReLU's slope is ``shared`` by the features or one per ``channel``; the paper leaves it open.
        seeds: One seed per member; 0, 1, 2, ... if left out.

    Example:
        >>> codec = SurrogateCodec(members=2)
        >>> z = codec.embed(torch.randn(2, 30, 100)).z
        >>> codec.synthesize(z).shape
        torch.Size([2, 30, 100])
    """

    def __init__(
        self,
        members: int = 1,
        features: int = 30,
        embedding: int = 30,
        skip_position: Literal["before", "after"] = "before",
        slope: Literal["shared", "channel"] = "shared",
        seeds: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        seeds = range(members) if seeds is None else seeds
        if min(members, features, embedding) < 1:
            raise ValueError(f"members={members}, features={features} and embedding={embedding} must be 1 or more")
        if len(seeds) != members:
            raise ValueError(f"{len(seeds)} seeds for {members} members: give one seed per member")
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.encoder = BatchedMLP(
            members, (features, features, features, embedding), skip=(True, True, False),
            activation=(True, True, False), skip_position=skip_position, slope=slope, generators=generators,
        )  # fmt: skip
        self.decoder = BatchedMLP(
            members, (embedding, features, features, features), skip=(False, True, False),
            activation=(True, True, True), skip_position=skip_position, slope=slope, generators=generators,
        )  # fmt: skip

    def embed(self, x: Tensor) -> Embedding:
        """Return the embeddings ``(members, embedding, T)`` of signals ``(members, features, T)``."""
        z: Tensor = self.encoder(x)
        return Embedding(z, z)

    def synthesize(self, z_hat: Tensor) -> Tensor:
        """Return the signals ``(members, features, T)`` of embeddings ``(members, embedding, T)``."""
        x: Tensor = self.decoder(z_hat)
        return x
