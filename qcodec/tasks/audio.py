"""Trains an audio codec."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.nn import functional as F

from qcodec.codecs.dac import DacCodec, DacOutput
from qcodec.data.synthetic import STREAMS, stream_seed
from qcodec.functional import gradient_gain, mean_absolute
from qcodec.losses.spectral import MelLoss
from qcodec.losses.weights import LossWeights
from qcodec.tasks.measures import Measures
from qcodec.tasks.schedules import Exponential, Schedule

_BETAS = (0.8, 0.99)


class AudioTask(LightningModule):
    """Trains a codec on audio ``(B, 1, L)`` with AdamW as published (arXiv 2306.06546, section 4.2).

    The losses are ``mel`` (multi-scale mel distance), ``waveform`` (mean absolute difference) and those that the
    quantizer gives by name. ``global_step`` counts updates. An update whose loss or gradient is not finite is left out,
    so that weights stay finite; how many were left out is logged. Random numbers of an update come from ``seed``, the
    rank and the update's number alone, so that a resumed run goes on exactly.

    Logged every ``log_every_n_steps`` updates, as means over these updates and over all ranks: every loss, ``mse`` per
    sample, ``grad_norm`` before clipping, ``skipped_updates`` (a share), ``ma_e``, ``ma_e_projected``, ``kbps``,
    ``codebook_usage``, ``codebook_entropy_bits``, and ``encoder_gain`` (``qcodec.functional.gradient_gain``) of the last
    of these updates. In validation the same with the hard quantizer, with the prefix ``val_``.

    Args:
        codec: The codec.
        losses: Weights of the losses.
        schedule: Learning rate; 1e-4 that shrinks by 0.999996 an update if left out.
        clip: Largest norm of the gradient of all the codec's weights; longer ones are brought to it.
        seed: Seed of the random numbers that quantizer and allocator draw.

    Raises:
        ValueError: For a ``clip`` that is not above zero.
    """

    def __init__(
        self,
        codec: DacCodec,
        losses: LossWeights,
        schedule: Schedule | None = None,
        clip: float = 1000.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not clip > 0:
            raise ValueError(f"clip={clip} would stop all training: give a norm above 0")
        self.automatic_optimization = False
        self.codec, self.losses, self.clip, self.seed = codec, losses, float(clip), seed
        self.schedule = Exponential() if schedule is None else schedule
        self.mel = MelLoss(codec.sample_rate)
        names = [*losses.by_name(), "mse", "grad_norm", "skipped_updates"]
        self.window = Measures(codec, names, persistent=True)
        self.held_out = Measures(codec, names)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with the published betas."""
        return torch.optim.AdamW(self.codec.parameters(), self.schedule.learning_rate(0), _BETAS, fused=True)

    def training_step(self, audio: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Make one update; nothing in it waits for the device but what is logged."""
        update = self.trainer.global_step
        logged = (update + 1) % self.trainer.log_every_n_steps == 0
        with self._apart(), self._random(update):
            output = self.codec(audio)
            if logged:
                output.z.retain_grad()
                output.quantized.z_hat.retain_grad()
            losses, total = self._losses(output, audio)
            self.manual_backward(total)
        norm, skipped = self._update(self.optimizers(), self.codec, update)
        self.window.update(output, {**losses, "grad_norm": norm, "skipped_updates": skipped})
        if logged:
            self._log_window(output)
        return {"loss": total.detach(), "ma_e": mean_absolute(output.z.detach()).mean()}

    def _losses(self, output: DacOutput, audio: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Give every loss by its name, and their weighted sum."""
        estimate = output.audio.float()
        losses = {name: loss.mean() for name, loss in output.quantized.losses.items()}
        losses |= {"mel": self.mel(estimate, audio), "waveform": F.l1_loss(estimate, audio)}
        total = self.losses.total(losses)
        if total is None:
            raise ValueError("every weight in `losses` is zero, which trains nothing: give mel=15.0, for one")
        with torch.no_grad():
            losses["mse"] = F.mse_loss(estimate, audio)
        return losses, total

    def _update(self, optimizer: Any, module: nn.Module, update: int) -> tuple[Tensor, Tensor]:
        """Average the gradients over ranks, clip them, and step where they are finite.

        Returns:
            The norm before clipping, and 1 where the step was left out, else 0.
        """
        parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
        self._average_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, self.clip)
        skipped = (~norm.isfinite()).float()
        for group in optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(update)
        optimizer.optimizer.found_inf = skipped  # a fused optimizer reads it on the device
        optimizer.step()
        optimizer.zero_grad()
        return norm, skipped

    def _average_gradients(self, parameters: list[nn.Parameter]) -> None:
        if self.trainer.world_size > 1:
            for parameter in parameters:
                parameter.grad = torch.as_tensor(self.trainer.strategy.reduce(parameter.grad, reduce_op="mean"))

    def _apart(self) -> AbstractContextManager[None]:
        """Keep the backward pass from synchronising the ranks; the gradients are averaged once an update."""
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()

    @contextmanager
    def _random(self, update: int) -> Iterator[None]:
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(stream_seed(self.seed, self.global_rank, STREAMS["noise"], update))
            yield

    def _log_window(self, output: DacOutput) -> None:
        values = self.window.compute()
        if output.z.grad is not None and output.quantized.z_hat.grad is not None:
            values["encoder_gain"] = gradient_gain(output.z.grad, output.quantized.z_hat.grad).nanmean()
        self._write(values)
        self.log_dict({name: values[name] for name in ("mel", "ma_e")}, prog_bar=True, logger=False)

    def _write(self, values: Mapping[str, Tensor]) -> None:
        """Give the values to the loggers, under the number of updates done."""
        row = dict(zip(values, torch.stack([*values.values()]).tolist(), strict=True))
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **row}, step=self.global_step)

    def validation_step(self, audio: Tensor, batch_idx: int) -> None:
        """Measure the codec with the hard quantizer."""
        output = self.codec(audio)
        losses, _ = self._losses(output, audio)
        self.held_out.update(output, losses)

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
            self.log_dict({**values, "step": float(self.global_step)})

    def predict_step(self, audio: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Give the decoded audio and the codes."""
        output = self.codec(audio)
        return {"audio": output.audio, "codes": output.quantized.codes}
