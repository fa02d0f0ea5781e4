"""A few clips before and after the codec, to listen to."""

from typing import Any, final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from qcodec.callbacks.audio_codec import audio_codec


@final
class AudioSamples(Callback):
    """Logs a few clips of the validation data before and after the codec, as audio.

    The clips are the first ones of the first batch, the same in every validation; the originals are logged once.
    Loggers that take no audio (have no ``log_audio``) are left out, and without another one nothing is computed. For
    tasks with an ``AudioCodec`` as ``codec``.

    Args:
        clips: Number of clips, at most those of a batch.

    Raises:
        ValueError: For fewer than one clip, or in a fit of another task.
    """

    def __init__(self, clips: int = 4) -> None:
        if clips < 1:
            raise ValueError(f"clips={clips} shows nothing: give 1 or more, or leave the callback out")
        self.clips = clips
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
        """Keep the clips of the first batch, and log them with their decoded audio."""
        if batch_idx or trainer.sanity_checking or not trainer.is_global_zero:
            return
        loggers: list[Any] = [logger for logger in trainer.loggers if hasattr(logger, "log_audio")]
        if not loggers:
            return
        codec = audio_codec(pl_module, "AudioSamples")
        first, self._probe = self._probe is None, batch[: self.clips] if self._probe is None else self._probe
        with torch.no_grad():
            decoded = codec(self._probe).audio
        for logger in loggers:
            if first:
                _log_audio(logger, "original", self._probe, codec.sample_rate, trainer.global_step)
            _log_audio(logger, "decoded", decoded, codec.sample_rate, trainer.global_step)


def _log_audio(logger: Any, name: str, audio: Tensor, sample_rate: int, step: int) -> None:
    clips = list(audio[:, 0].detach().float().clamp(-1, 1).cpu().numpy())
    logger.log_audio(name, clips, step=step, sample_rate=[sample_rate] * len(clips))
