"""Trains the quantizer of a codec whose encoder and decoder are fixed."""

from typing import Any, final

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from qcodec.callbacks.audio_codec import audio_codec
from qcodec.codecs.base import AudioCodec
from qcodec.codecs.model_file import read_model

_QUANTIZER = "quantizer."  # begins the names of its weights


@final
class TrainQuantizerAlone(Callback):
    """Fixes all of an audio codec but its quantizer, bit for bit: the cheapest comparison of quantizers in a codec.

    Encoder and decoder get no gradients, have no optimizer state, and are as in evaluation. A discriminator goes on
    learning. The embedding being fixed, the estimator matters only where it trains a codebook or projections.

    Args:
        weights: Where encoder and decoder come from: a run folder, a checkpoint, a file that ``export`` wrote or a
            weight file of ``dac``; the codec's own if left out. A run that is resumed has them in its checkpoint.
        trust: Modules beside qcodec whose classes that codec may be made of; their code is run.

    Raises:
        ValueError: In a fit of another task, for a quantizer that learns nothing, or for weights that do not fit.
        OSError: Where the weights cannot be opened.
    """

    def __init__(self, weights: str | None = None, trust: tuple[str, ...] = ()) -> None:
        self.weights, self.trust = weights, tuple(trust)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Fix the weights, before optimizers are made."""
        if stage != "fit":
            return
        codec = audio_codec(pl_module, type(self).__name__)
        if not codec.quantizer.state_dict():
            raise ValueError(f"{type(codec.quantizer).__name__} has nothing to train: leave TrainQuantizerAlone out")
        for name, parameter in codec.named_parameters():
            parameter.requires_grad_(name.startswith(_QUANTIZER))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the weights, in a run that is not resumed."""
        if self.weights is not None and not trainer.global_step:
            self._load(audio_codec(pl_module, type(self).__name__), self.weights)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Bring all but the quantizer to evaluation, where it is not."""
        codec = audio_codec(pl_module, type(self).__name__)
        for part in codec.children():
            if part is not codec.quantizer and part.training:
                part.eval()

    def _load(self, codec: AudioCodec, weights: str) -> None:
        found, expected = _beside_the_quantizer(read_model(weights, self.trust).codec), _beside_the_quantizer(codec)
        for name in sorted(set(expected) | set(found)):
            ours, theirs = (tuple(each[name].shape) if name in each else None for each in (expected, found))
            if ours != theirs:
                raise ValueError(
                    f"weights {weights} do not fit this codec: {name} is {theirs or 'not'} there and "
                    f"{ours or 'not'} here; give the encoder and decoder the sizes of that run"
                )
        codec.load_state_dict(codec.state_dict() | found)


def _beside_the_quantizer(codec: AudioCodec) -> dict[str, Tensor]:
    return {name: value for name, value in codec.state_dict().items() if not name.startswith(_QUANTIZER)}
