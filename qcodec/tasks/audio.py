"""Trains an audio codec."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from qcodec.codecs.base import AudioCodec, AudioOutput
from qcodec.codecs.model_file import SETTINGS
from qcodec.functional import gradient_gain, mean_absolute
from qcodec.losses.adversarial import Adversary
from qcodec.losses.spectral import MelLoss
from qcodec.losses.weights import LossWeights
from qcodec.metrics.base import CodecMetric
from qcodec.metrics.built_in import built_in
from qcodec.metrics.window import MetricWindow
from qcodec.quantizers.rebuild import settings_of
from qcodec.random_streams import STREAMS, part_of_batch, stream_seed
from qcodec.runs.schema import RunDescription
from qcodec.schedules import Exponential, Schedule
from qcodec.tasks.audio_checks import check_batch, check_parts
from qcodec.tasks.audio_description import HELD_OUT, TRAINING, describe
from qcodec.tasks.ranks import across_ranks, average_gradients, ranks_apart

_BETAS = (0.8, 0.99)


class AudioTask(LightningModule):
    """Trains a codec on audio ``(B, 1, L)`` with AdamW as published (arXiv 2306.06546, section 4.2).

    The losses are ``mel`` (multi-scale mel distance), ``waveform`` (mean absolute difference), those that the quantizer
    names and, with an adversary, ``adversarial`` and ``feature_matching``; in each update its discriminator
    learns first. ``global_step`` counts updates. An update whose gradient is not finite is left out, so that weights
    stay finite; how many were left out is logged. Random numbers of an update come from ``seed``, its number and the
    clip's place in the batch of all ranks alone: a resumed run goes on exactly, and two ranks draw what one would.

    Logged every ``log_every_n_steps`` updates, as means over these updates and over all ranks: every loss, ``mse`` per
    sample, ``grad_norm`` before clipping, ``skipped_updates`` (a share), the metrics of
    ``qcodec.metrics.built_in.built_in`` (which says where one is left out), further ``metrics``, and ``encoder_gain``
    (``qcodec.functional.gradient_gain``) of the last update, where the decoder passes a gradient; with an adversary
    ``discriminator`` (its loss) and ``discriminator_grad_norm`` too. In validation what concerns the codec alone, with
    the hard quantizer and the prefix ``val_``. A row that was begun before a run was resumed is of all its updates with
    one rank, and of those since with several.

    Args:
        codec: The codec.
        losses: Weights of the losses.
        schedule: Learning rate; 1e-4 that shrinks by 0.999996 an update if left out.
        clip: Largest norm of the gradient of all the codec's weights; longer ones are brought to it.
        adversary: Discriminator that the codec is trained against; none if left out.
        seed: Seed of the random numbers that quantizer and allocator draw.
        metrics: Further metrics, beside the built-in ones.
        micro_batches: Parts that a batch is computed in, one after the other, for less memory. The update is by the
            mean of their gradients, which is the whole batch's where nothing depends on statistics of the batch;
            codebooks that learn by what they observe (EMA, k-means start) observe each part on its own. With an
            adversary the codec decodes every part twice: first for the discriminator, which learns before it.

    Raises:
        TypeError: For a class or a dict in place of an object.
        ValueError: For a norm that is not above zero, no micro-batch, or two metrics of one name.
    """

    def __init__(
        self,
        codec: AudioCodec,
        losses: LossWeights,
        schedule: Schedule | None = None,
        clip: float = 1000.0,
        adversary: Adversary | None = None,
        seed: int = 0,
        metrics: list[CodecMetric] | None = None,
        micro_batches: int = 1,
    ) -> None:
        super().__init__()
        self.schedule = Exponential() if schedule is None else schedule
        further = [] if metrics is None else list(metrics)
        check_parts(codec, losses, self.schedule, adversary, further)
        if not clip > 0:
            raise ValueError(f"clip={clip}: a norm of 0 would stop all training")
        if micro_batches < 1:
            raise ValueError(f"micro_batches={micro_batches} leaves nothing to compute: give 1 or more")
        self.automatic_optimization = False
        self.codec, self.losses, self.clip, self.adversary, self.seed = codec, losses, float(clip), adversary, seed
        self.micro_batches = micro_batches
        self.mel = MelLoss(codec.sample_rate)
        names = list(dict.fromkeys([*losses.by_name(), *(metric.name for metric in (*HELD_OUT, *TRAINING))]))
        every = [*built_in(codec), *further]
        self.window, self.held_out = MetricWindow(every, names, persistent=True), MetricWindow(every, names)

    def describe(self, data: LightningDataModule) -> RunDescription:
        """Return what a run of this task states of itself, whatever the data."""
        return describe(self.window.descriptions)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return AdamW with the published betas, one for the codec and one for an adversary."""
        rate = self.schedule.value(0)
        trained = [module for module in (self.codec, self.adversary) if module is not None]
        return [torch.optim.AdamW(module.parameters(), rate, _BETAS, fused=True) for module in trained]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the codec is made of; of several ranks leave the sums of an unfinished row out: they are one's."""
        checkpoint[SETTINGS] = self._codec_settings()
        if self.trainer.world_size > 1:
            checkpoint["state_dict"] |= self.window.empty_state("window.")

    def _codec_settings(self) -> Any:
        try:
            return settings_of(self.codec)
        except ValueError as error:  # of a class that a file cannot name: it trains, but cannot be loaded again
            return {"error": str(error)}

    def on_fit_start(self) -> None:
        """Refuse scaled gradients, which would be clipped and averaged as they are."""
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            raise ValueError("trainer.precision 16-mixed scales the gradients that are clipped here: give bf16-mixed")

    def setup(self, stage: str) -> None:
        """Refuse data of another rate than the codec's, before anything is measured on them.

        Raises:
            ValueError: With both rates.
        """
        served = getattr(getattr(self.trainer, "datamodule", None), "sample_rate", self.codec.sample_rate)
        if served != self.codec.sample_rate:
            raise ValueError(
                f"the data are served at {served} Hz and the codec is for {self.codec.sample_rate} Hz: set "
                f"data.init_args.sample_rate to {self.codec.sample_rate}; files of other rates are resampled to it"
            )

    def training_step(self, audio: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Make one update; nothing in it waits for the device but what is logged."""
        check_batch(audio)
        trainer: Any = self.trainer
        update = trainer.global_step
        logged = (update + 1) % trainer.log_every_n_steps == 0
        parts = [part for part in audio.tensor_split(self.micro_batches) if len(part)]
        adversary = self.adversary if self.adversary and update >= self.adversary.starts_at else None
        with ranks_apart(self.trainer):
            ahead = self._without_learning(parts, update) if adversary and len(parts) > 1 else []
            scalars = self._discriminate(adversary, ahead, parts, update) if adversary and ahead else {}
            done, whole = [], audio.new_zeros(())
            for number, part in enumerate(parts):
                with self._random(update, parts, number):
                    output = self.codec(part)
                    if logged:
                        for tensor in (output.z, output.quantized.z_hat):
                            if tensor.requires_grad:
                                tensor.retain_grad()
                    losses = self._losses(output, part)
                    if adversary and not ahead:
                        scalars = self._discriminate(adversary, [output.audio], parts, update)
                    losses |= self._adversarial_losses(adversary, output, part)
                    total = self._total(losses)
                    if total.requires_grad:  # not where only a codebook learns, by what it observes
                        self.manual_backward(total * (len(part) / len(audio)))
                whole += total.detach() * (len(part) / len(audio))
                done.append((output, part, {name: loss.detach() for name, loss in losses.items()}))
        norm, skipped = self._update(0, self.codec, self.clip, update)
        scalars |= {"grad_norm": norm, "skipped_updates": skipped}
        for output, part, losses in done:
            self.window.update(output, part, losses | scalars | {"mse": _mse(output, part)})
        if logged:
            self._log_window([output for output, _, _ in done])
        ma_e = torch.cat([mean_absolute(output.z.detach()) for output, _, _ in done]).mean()
        return {"loss": whole, "ma_e": ma_e}

    def _without_learning(self, parts: Sequence[Tensor], update: int) -> list[Tensor]:
        """Return what the codec will decode in an update, while it learns nothing, not even from what it observes."""
        quantizer, decoded = self.codec.quantizer, []
        self.codec.quantizer = copy.deepcopy(quantizer)  # which learns and counts in its place
        try:
            for number, part in enumerate(parts):
                with torch.no_grad(), self._random(update, parts, number):
                    decoded.append(self.codec(part).audio)
        finally:
            self.codec.quantizer = quantizer
        return decoded

    def _losses(self, output: AudioOutput, audio: Tensor) -> dict[str, Tensor]:
        """Compute the losses of quantizer and reconstruction by name."""
        losses = {name: loss.mean() for name, loss in output.quantized.losses.items()}
        estimate = output.audio.float()
        return losses | {"mel": self.mel(estimate, audio), "waveform": F.l1_loss(estimate, audio)}

    def _total(self, losses: Mapping[str, Tensor]) -> Tensor:
        total = self.losses.total(losses)
        if total is None:
            raise ValueError("every weight in `losses` is zero, which trains nothing: give mel=15.0, for one")
        return total

    def _discriminate(
        self, adversary: Adversary, decoded: Sequence[Tensor], parts: Sequence[Tensor], update: int
    ) -> dict[str, Tensor]:
        """Update the discriminator; return its loss and the norm of its gradient."""
        loss, clips = parts[0].new_zeros(()), sum(map(len, parts))
        for fake, real in zip(decoded, parts, strict=True):
            of_part = adversary.discriminator_loss(fake, real) * (len(real) / clips)
            self.manual_backward(of_part)
            loss += of_part.detach()
        norm, _ = self._update(1, adversary, adversary.clip, update)
        return {"discriminator": loss, "discriminator_grad_norm": norm}

    def _adversarial_losses(self, adversary: Adversary | None, output: AudioOutput, audio: Tensor) -> dict[str, Tensor]:
        if adversary is not None:
            return adversary.generator_losses(output.audio, audio)
        names = () if self.adversary is None else ("adversarial", "feature_matching")
        return dict.fromkeys(names, audio.new_zeros(()))

    def _update(self, index: int, module: nn.Module, clip: float, update: int) -> tuple[Tensor, Tensor]:
        """Average the gradients over ranks, clip them, and step where they are finite.

        Returns:
            The norm before clipping, and 1 where the step was left out, else 0.
        """
        parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
        average_gradients(self.trainer, parameters)
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        skipped = (~norm.isfinite()).float()
        optimizer: Any = self.trainer.optimizers[index]
        for group in optimizer.param_groups:
            group["lr"] = self.schedule.value(update)
        optimizer.found_inf = skipped  # a fused optimizer reads it on the device
        (self._counted() if index == 0 else optimizer).step()
        optimizer.zero_grad()
        return norm, skipped

    def _counted(self) -> Any:
        """Return the codec's optimizer as Lightning wraps it, whose steps are ``global_step``."""
        wrapped = self.optimizers()
        return wrapped[0] if isinstance(wrapped, list) else wrapped

    @contextmanager
    def _random(self, update: int, parts: Sequence[Tensor], number: int) -> Iterator[None]:
        """Draw for each clip of a part what one process would draw that has the batch of all ranks."""
        own = sum(map(len, parts))
        first, whole = self.global_rank * own + sum(map(len, parts[:number])), own * self.trainer.world_size
        devices = [self.device] if self.device.type == "cuda" else []
        common = stream_seed(self.seed, 0, STREAMS["noise"], update)
        here = stream_seed(self.seed, self.global_rank, STREAMS["noise"], update, number)
        last = number == len(parts) - 1
        with torch.random.fork_rng(devices), part_of_batch(first, len(parts[number]), whole, common, here, last=last):
            yield

    def _log_window(self, outputs: Sequence[AudioOutput]) -> None:
        values = self.window.compute()
        pairs = [(output.z.grad, output.quantized.z_hat.grad) for output in outputs]
        gains = [gradient_gain(z, z_hat) for z, z_hat in pairs if z is not None and z_hat is not None]
        if gains:
            values["encoder_gain"] = across_ranks(self.trainer, torch.cat(gains).nanmean())
        self._write(values)
        self.log_dict({name: values[name] for name in ("mel", "ma_e")}, prog_bar=True, logger=False)

    def _write(self, values: Mapping[str, Tensor]) -> None:
        """Write the values to the loggers, under the number of updates done."""
        row = dict(zip(values, torch.stack([*values.values()]).tolist(), strict=True))
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **row}, step=self.global_step)

    def validation_step(self, audio: Tensor, batch_idx: int) -> None:
        """Measure the codec with the hard quantizer."""
        check_batch(audio)
        output = self.codec(audio)
        self.held_out.update(output, audio, self._losses(output, audio) | {"mse": _mse(output, audio)})

    def on_validation_epoch_end(self) -> None:
        """Log the means over the held-out clips."""
        self._log_held_out("val")

    def test_step(self, audio: Tensor, batch_idx: int) -> None:
        """Measure as in validation."""
        self.validation_step(audio, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log as in validation."""
        self._log_held_out("test")

    def _log_held_out(self, split: str) -> None:
        values = {f"{split}_{name}": value for name, value in self.held_out.compute().items()}
        if not self.trainer.sanity_checking:
            self.log_dict({**values, "step": float(self.global_step)}, sync_dist=True)

    def predict_step(self, audio: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Return the decoded audio ``(B, 1, L)`` and the codes ``(B, N_q, T)``."""
        output = self.codec(audio)
        return {"audio": output.audio, "codes": output.quantized.codes}


def _mse(output: AudioOutput, audio: Tensor) -> Tensor:
    with torch.no_grad():
        return F.mse_loss(output.audio.float(), audio)
