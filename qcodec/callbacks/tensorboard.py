"""TensorBoard as an equal of W&B: curves, all settings, sound and pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only


class TensorBoard(TensorBoardLogger):
    """Lightning's TensorBoard logger, which here takes audio and figures too: ``tensorboard --logdir RUN/tensorboard``.

    Args:
        save_dir: Folder of the run.
        name: Folder in it for TensorBoard's files.
    """

    def __init__(self, save_dir: str = ".", name: str = "tensorboard") -> None:
        super().__init__(save_dir, name=name, version="", default_hp_metric=False)

    @rank_zero_only
    def log_audio(
        self, key: str, audios: Sequence[Any], step: int | None = None, *, sample_rate: Sequence[int]
    ) -> None:
        """Add clips ``(L,)`` each with their rates in Hz."""
        for number, (audio, rate) in enumerate(zip(audios, sample_rate, strict=True)):
            self.experiment.add_audio(f"{key}/{number}", np.asarray(audio)[None], step, sample_rate=rate)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None) -> None:
        """Add figures of Matplotlib."""
        for number, figure in enumerate(images):
            self.experiment.add_figure(f"{key}/{number}" if len(images) > 1 else key, figure, step)
