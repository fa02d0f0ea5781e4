"""Where a codec of variable bitrate spends its bits, to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from qcodec.atomic_write import atomic_write
from qcodec.figures.importance import AllocatedClip, allocation_figure, rate_figure

_CURVE = tuple(2.0**power for power in np.arange(-4, 3.25, 0.5))  # levels of the curve of rate against level
_ENDS = (1e-9, 1e9)  # levels at which every frame has one stage, and all of them


@final
class AllocationFigures(Callback):
    """Draws a few clips' importance and bits, and their rate against the level, at each validation.

    The clips are the first ones of the first batch, the same in every validation. The figures go to the folder
    ``pictures`` of the run, where ``qcodec report`` finds them, and to every logger that takes images. A codec whose
    quantizer allocates no bits by importance has no such figures.

    Args:
        clips: Number of clips, at most those of a batch.
        levels: Rate levels at which bits are drawn over time.

    Raises:
        ValueError: For fewer than one clip, or no level.
    """

    def __init__(self, clips: int = 2, levels: Sequence[float] = (0.25, 0.5, 1.0, 2.0)) -> None:
        if clips < 1 or not levels:
            raise ValueError(f"clips={clips} at levels={list(levels)} show nothing: give 1 or more of both")
        self.clips, self.levels = clips, tuple(levels)
        self._probe: Tensor | None = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the clips of the first batch, and draw what is allocated to them."""
        codec: Any = pl_module.codec
        if not hasattr(getattr(codec.quantizer, "allocator", None), "importance"):
            return
        if batch_idx or trainer.sanity_checking or not trainer.is_global_zero:
            return
        self._probe = batch[: self.clips] if self._probe is None else self._probe
        with torch.no_grad():
            figures = _figures(codec, self._probe, self.levels, f"after {trainer.global_step} updates")
        _keep(figures, Path(trainer.default_root_dir, "pictures"))
        loggers: list[Any] = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        for logger in loggers:
            logger.log_image("allocation", list(figures.values()), step=trainer.global_step)


def _figures(codec: Any, audio: Tensor, levels: Sequence[float], note: str) -> dict[str, Figure]:
    embedding = codec.embed(audio)
    z, features = embedding.z, embedding.features
    importance = codec.quantizer.allocator.importance(features)
    bits = {level: codec.quantizer(z, features=features, level=level).bits for level in (*levels, *_CURVE, *_ENDS)}
    scale = codec.frame_rate / 1000
    figures = {}
    for index, clip in enumerate(audio):
        by_level = {level: _array(bits[level][index]) for level in levels}
        shown = AllocatedClip(_array(clip[0]), _array(importance[index]), by_level, codec.sample_rate, codec.frame_rate)
        figures[f"allocation_{index + 1}"] = allocation_figure(
            shown, title=f"Importance and bits of clip {index + 1}", note=note
        )
    curves = torch.stack([bits[level].mean(1) for level in _CURVE], 1) * scale
    kbps = {f"clip {index + 1}": _array(curve) for index, curve in enumerate(curves)}
    low, high = (float(bits[level].mean()) * scale for level in _ENDS)
    figures["rate_by_level"] = rate_figure(
        np.array(_CURVE), kbps, limits=(low, high), title="Rate against level", note=note
    )
    return figures


def _keep(figures: Mapping[str, Figure], folder: Path) -> None:
    for name, figure in figures.items():
        with atomic_write(folder / f"{name}.png") as file:
            figure.savefig(file, format="png")


def _array(values: Tensor) -> Any:
    return values.detach().double().cpu().numpy()
