"""A few clips before and after the codec, to listen to."""

from pathlib import Path
from typing import Any, final

import torch
from lightning import Callback, LightningModule, Trainer

from qcodec.audio.writing import AudioFormat, write_audio
from qcodec.callbacks.audio_codec import audio_codec
from qcodec.callbacks.probe import Probe
from qcodec.codecs.base import AudioCodec
from qcodec.runs.schema import SOUNDS


@final
class AudioSamples(Callback):
    """Keeps a few clips of the validation data before and after the codec, to listen to.

    The clips are the first ones of the validation data, the same in every validation. They go to the folder ``sounds``
    of the run, where ``qcodec report`` finds them, the decoded ones in place of those of the validation before, and to
    every logger that takes audio (has ``log_audio``). A codec of several rates is heard at up to three levels beside
    its default. For tasks with an ``AudioCodec`` as ``codec``.

    Args:
        clips: Number of clips.

    Raises:
        ValueError: For fewer than one clip, or in a fit of another task.
    """

    def __init__(self, clips: int = 4) -> None:
        if clips < 1:
            raise ValueError(f"clips={clips} shows nothing: give 1 or more, or leave the callback out")
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
        self._probe.collect(trainer, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decode the clips, and keep and log them."""
        clips = None if trainer.sanity_checking else self._probe.clips()
        if clips is None:
            return
        codec = audio_codec(pl_module, "AudioSamples")
        sounds = {} if self._heard else {"original": clips}
        with torch.no_grad():
            sounds |= {"decoded": codec(clips).audio}
            for level in _levels(codec):
                sounds[f"decoded_level_{level:.3g}"] = codec(clips, level=level).audio
        for name, audio in sounds.items():
            heard = audio[:, 0].detach().float().clamp(-1, 1).cpu()
            for number, clip in enumerate(heard, 1):
                path = Path(trainer.default_root_dir, SOUNDS, f"{name}_{number}.flac")
                write_audio(path, [clip[None]], codec.sample_rate, AudioFormat(codec.sample_rate, 1, len(clip)))
            for logger in trainer.loggers:
                if hasattr(logger, "log_audio"):
                    rates = [codec.sample_rate] * len(heard)
                    logger.log_audio(name, list(heard.numpy()), step=trainer.global_step, sample_rate=rates)
        self._heard = True


def _levels(codec: AudioCodec) -> tuple[float, ...]:
    """Return up to three levels of a codec of several rates; of others none."""
    allocator, sizes = codec.quantizer.allocator, codec.quantizer.code_sizes(codec.channels)
    return () if allocator is None or sizes is None else allocator.levels(len(sizes), 3)
