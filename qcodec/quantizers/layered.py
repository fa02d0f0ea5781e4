"""Layers before and after a quantizer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, QuantizerWrapper, check_embedding, quantized_value
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.rebuild import Rebuildable, settings_of


class Layer(Rebuildable, ABC, nn.Module):
    """A map of embeddings ``(B, D, T)`` to embeddings of the same shape, for ``LayeredQuantizer``.

    A subclass writes ``forward``, which gets float32 or wider. In evaluation it treats each frame by itself and draws
    nothing. In training it draws by ``qcodec.random_streams`` alone.
    """

    @property
    def entries_independent(self) -> bool:
        """Whether it promises what ``Quantizer.entries_independent`` says; one that can overrides this."""
        return False

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Map ``z`` to an embedding of its shape."""

    def deployed(self) -> "Layer | None":
        """Return what acts in evaluation, itself if left out; ``None`` for nothing."""
        return self


@final
class LayeredQuantizer(QuantizerWrapper):
    """A quantizer between layers, in the surrogate and in an audio codec alike.

    ::

        z -> before[0] -> before[1] ... -> quantizer -> after[0] -> after[1] ... -> z_hat

    Losses are the other quantizer's, and so is ``commitment``: of the embedding that it sees, which is ``latents``.
    A linear bottleneck is ``ProjectedQuantizer``; it may stand inside or around.

    Args:
        quantizer: The quantizer.
        before: Layers of the embedding.
        after: Layers of the quantized value.

    Raises:
        ValueError: Without layers.

    Example:
        >>> from qcodec import Bounded, Dropout, LayerNorm, ScalarQuantizer
        >>> quantizer = LayeredQuantizer(ScalarQuantizer(4), before=[LayerNorm(), Bounded(2.0)], after=[Dropout(0.1)])
        >>> quantizer(torch.randn(2, 30, 10)).z_hat.shape
        torch.Size([2, 30, 10])
    """

    def __init__(self, quantizer: Quantizer, before: Sequence[Layer] = (), after: Sequence[Layer] = ()) -> None:
        super().__init__(quantizer)
        if not before and not after:
            raise ValueError("there are no layers before or after: give one, or use the quantizer itself")
        for name, layers in (("before", before), ("after", after)):
            for index, layer in enumerate(layers):
                check_is(layer, Layer, f"{name}[{index}]")
        self.before, self.after = nn.ModuleList(before), nn.ModuleList(after)

    @property
    def entries_independent(self) -> bool:
        """As all parts."""
        layers = cast("list[Layer]", [*self.before, *self.after])
        return self.quantizer.entries_independent and all(layer.entries_independent for layer in layers)

    @property
    def exact(self) -> bool:
        """Whether the other quantizer is, and no layer after it is for training alone."""
        return self.quantizer.exact and len(_deployed(self.after)) == len(self.after)

    def deployed(self) -> Quantizer:
        """Return what acts of the parts in evaluation; without layers the other quantizer itself."""
        inside = self.quantizer.deployed()
        before, after = _deployed(self.before), _deployed(self.after)
        if not before and not after:
            return inside
        if inside is self.quantizer and before == list(self.before) and after == list(self.after):
            return self
        parts = {"before": nn.ModuleList(before), "after": nn.ModuleList(after)}
        return self._with(quantizer=inside.train(self.training), **parts)

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize between the layers; ``features`` and ``level`` are the other quantizer's."""
        check_embedding(z, "LayeredQuantizer")
        with full_precision(z):
            latents = z.to(torch.promote_types(z.dtype, torch.float32))
            for layer in self.before:
                latents = layer(latents)
            output: QuantizerOutput = self.quantizer(latents, features=features, level=level)
            z_hat = output.z_hat
            for layer in self.after:
                z_hat = layer(z_hat)
            z_q = quantized_value(self._after, z_hat, output.z_q, self.exact or not self.training)
        latents = latents if output.latents is None else output.latents
        return replace(output, z_hat=z_hat.to(z.dtype), z_q=z_q.to(z.dtype), latents=latents)

    def decode(self, codes: Tensor) -> Tensor:
        """Return what the layers after the quantizer make of what it decodes."""
        return self._after(self.quantizer.decode(codes))

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the other quantizer, and what acts after it."""
        identity = dict(self.quantizer.decoder_identity())
        for index, layer in enumerate(_deployed(self.after)):
            identity |= {f"after.{index}": settings_of(layer)}
            identity |= {f"after.{index}.{name}": value for name, value in layer.state_dict().items()}
        return identity

    @torch.no_grad()
    def _after(self, z_q: Tensor) -> Tensor:
        """Return what the decoder sees of a quantized value in evaluation."""
        for layer in _deployed(self.after):
            z_q = layer(z_q)
        return z_q


def _deployed(layers: nn.ModuleList) -> list[Layer]:
    found = [layer.deployed() for layer in cast("list[Layer]", list(layers))]
    return [layer for layer in found if layer is not None]
