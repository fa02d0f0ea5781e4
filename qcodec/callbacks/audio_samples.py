"""A few clips before and after the codec, to listen to."""

from typing import Any, final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from qcodec.callbacks.audio_codec import audio_codec
from qcodec.callbacks.probe import Probe


@final
class AudioSamples(Callback):
    """Logs a few clips of the validation data before and after the codec, as audio.

    The clips are the first ones of the validation data, the same in every validation; the originals are logged once.
    Loggers that take no audio (have no ``log_audio``) are left out, and without another one nothing is computed. For
    tasks with an ``AudioCodec`` as ``codec``.

    Args:
        clips: Number of clips.

    Raises:
        ValueError: For fewer than one clip, or in a fit of another task.
    """

    def __init__(self, clips: int = 4) -> None:
        if clips < 1:
            raise ValueError(f"clips={clips} shows nothing: give 1 or more, or leave the callback out")
        self.clips = clips
        self._probe, self._heard = Probe(clips), False

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
        if _loggers(trainer):
            self._probe.collect(trainer, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the clips with their decoded audio."""
        clips = None if trainer.sanity_checking else self._probe.clips()
        if clips is None:
            return
        codec = audio_codec(pl_module, "AudioSamples")
        with torch.no_grad():
            decoded = codec(clips).audio
        for logger in _loggers(trainer):
            if not self._heard:
                _log_audio(logger, "original", clips, codec.sample_rate, trainer.global_step)
            _log_audio(logger, "decoded", decoded, codec.sample_rate, trainer.global_step)
        self._heard = True


def _loggers(trainer: Trainer) -> list[Any]:
    return [logger for logger in trainer.loggers if hasattr(logger, "log_audio")]


def _log_audio(logger: Any, name: str, audio: Tensor, sample_rate: int, step: int) -> None:
    clips = list(audio[:, 0].detach().float().clamp(-1, 1).cpu().numpy())
    logger.log_audio(name, clips, step=step, sample_rate=[sample_rate] * len(clips))
