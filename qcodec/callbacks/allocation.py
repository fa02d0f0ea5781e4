"""Where a codec spends its bits."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from qcodec.callbacks.figures import ProbeFigure
from qcodec.codecs.base import AudioCodec
from qcodec.figures.allocation import AllocatedClip, allocation_figure
from qcodec.figures.rate_by_level import rate_figure
from qcodec.figures.words import short

_POINTS = 15  # levels of the curve of rate against level


@final
class Allocation(ProbeFigure):
    """Draws each clip's importance and bits over time, and the clips' rates against the level.

    ``allocation_N`` of clip ``N`` shows bits alone where the allocator decides by no importance. ``rate_by_level`` is
    left out where there is one rate, and nothing is drawn where the quantizer has no allocator.

    Args:
        levels: Number of levels at which bits are drawn over time, from the lowest to the highest rate.

    Raises:
        ValueError: For fewer than one level.
    """

    def __init__(self, levels: int = 4) -> None:
        if levels < 1:
            raise ValueError(f"levels={levels} show nothing: give 1 or more")
        self.levels = levels

    def draw(self, codec: AudioCodec, audio: Tensor) -> dict[str, Figure]:
        """Draw the figures of clips ``(B, 1, L)``."""
        allocator = codec.quantizer.allocator
        if allocator is None:
            return {}
        embedding = codec.embed(audio)
        z, features = embedding.z, embedding.features
        stages = codec.quantizer(z, features=features).codes.shape[1]
        importance = allocator.importance(features)

        def bits(level: float | None) -> Tensor:
            return torch.as_tensor(codec.quantizer(z, features=features, level=level).bits)

        levels = allocator.levels(stages, self.levels)
        by_rate = {f"level {short(level)}": bits(level) for level in levels} or {"every frame": bits(None)}
        figures = {}
        for index, clip in enumerate(audio):
            shown = AllocatedClip(
                _array(clip[0]), None if importance is None else _array(importance[index]),
                {name: _array(values[index]) for name, values in by_rate.items()}, codec.sample_rate, codec.frame_rate,
            )  # fmt: skip
            figures[f"allocation_{index + 1}"] = allocation_figure(shown, title=f"Bits of clip {index + 1}")
        points = allocator.levels(stages, _POINTS)
        if len(points) > 1:
            kbps = torch.stack([bits(level).mean(1) for level in points], 1) * (codec.frame_rate / 1000)
            figures["rate_by_level"] = _rates(np.array(points), _array(kbps))
        return figures


def _rates(levels: Any, kbps: Any) -> Figure:
    by_clip: Mapping[str, Any] = {f"clip {index + 1}": curve for index, curve in enumerate(kbps)}
    limits = float(kbps[:, 0].mean()), float(kbps[:, -1].mean())
    return rate_figure(levels, by_clip, limits=limits, title="Rate against level")


def _array(values: Tensor) -> Any:
    return values.detach().double().cpu().numpy()
