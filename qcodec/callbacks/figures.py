"""Figures of what a codec makes of the same few clips, at each validation."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from qcodec.atomic_write import atomic_write
from qcodec.callbacks.audio_codec import audio_codec
from qcodec.callbacks.probe import Probe
from qcodec.codecs.base import AudioCodec
from qcodec.figures.style import MUTED, SMALL
from qcodec.quantizers.checks import check_is
from qcodec.runs.schema import PICTURES


class ProbeFigure(ABC):
    """A figure, or several, of a codec and a few clips. A subclass writes ``draw``, which changes nothing."""

    @abstractmethod
    def draw(self, codec: AudioCodec, audio: Tensor) -> Mapping[str, Figure]:
        """Draw figures by name, in evaluation and without gradients.

        Args:
            codec: The codec as it stands.
            audio: ``(B, 1, L)`` the clips, the same at each validation.

        Returns:
            Figures by names that are valid as names of files; none where there is nothing to see.
        """


@final
class ProbeFigures(Callback):
    """Draws figures of the first clips of the validation data, the same at each validation.

    The figures go to the folder ``pictures`` of the run, where ``qcodec report`` finds them, and to every logger that
    takes images (has ``log_image``), with the number of updates on them. For tasks with an ``AudioCodec`` as ``codec``.

    Args:
        figures: What is drawn.
        clips: Number of clips.

    Raises:
        ValueError: For fewer than one clip or no figure; in a fit of another task, or for a name that is drawn twice.
    """

    def __init__(self, figures: list[ProbeFigure], clips: int = 2) -> None:
        if clips < 1 or not figures:
            raise ValueError(f"clips={clips} with {len(figures)} figures show nothing: give 1 or more of both")
        for index, figure in enumerate(figures):
            check_is(figure, ProbeFigure, f"figures[{index}]")
        self.figures, self.clips = list(figures), clips
        self._probe = Probe(clips)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first clips."""
        audio_codec(pl_module, "ProbeFigures")
        self._probe.collect(trainer, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        codec = audio_codec(pl_module, "ProbeFigures")
        clips = None if trainer.sanity_checking else self._probe.clips()
        if clips is None:
            return
        with torch.no_grad():
            drawn = [(name, figure) for each in self.figures for name, figure in each.draw(codec, clips).items()]
        for name in (name for name, count in Counter(name for name, _ in drawn).items() if count > 1):
            raise ValueError(f"two figures are called {name!r}: give each a name of its own")
        loggers: list[Any] = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        for name, figure in drawn:
            _stamp(figure, f"after {trainer.global_step} updates")
            with atomic_write(Path(trainer.default_root_dir, PICTURES, f"{name}.png")) as file:
                figure.savefig(file, format="png")
            for logger in loggers:
                logger.log_image(name, [figure], step=trainer.global_step)


def _stamp(figure: Figure, text: str) -> None:
    """Write a text at the top right of a figure."""
    figure.text(0.99, 1 - 0.1 / figure.get_figheight(), text, fontsize=SMALL, color=MUTED, ha="right", va="top")
