"""Trains named systems of surrogate codecs side by side in one fit."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn

from qcodec.codecs.surrogate import SurrogateCodec
from qcodec.data.stream import SyntheticStream
from qcodec.data.synthetic import DrawBlock
from qcodec.functional import mean_absolute, mean_squared_error
from qcodec.quantizers.base import QuantizerOutput
from qcodec.rate import effective_bits, empirical_entropy
from qcodec.runs.schema import BY_SEED, RunDescription
from qcodec.schedules import Constant, Schedule
from qcodec.tasks.cuda_graph_adam import CudaGraphAdam
from qcodec.tasks.joint_update import JointUpdate, pass_together
from qcodec.tasks.ranks import across_ranks, average_gradients, ranks_apart
from qcodec.tasks.surrogate_description import describe_run
from qcodec.tasks.system import System, SystemCodec, check_systems

_HELD_OUT = ("hard_mse", "bits_per_frame", "entropy_bits")


class SurrogateTask(LightningModule):
    """Trains every system with every seed at once, each exactly as it would train alone.

    Adam is element-wise and every codec has its own weights, data and noise, keyed by its seed, so that training
    side by side only shares the work. ``global_step`` counts updates.

    Logged once an epoch, for each system as the mean over seeds and under ``by_seed/`` for each seed: ``mse`` (training
    MSE per value), ``ma_e`` (mean absolute embedding), ``hard_mse`` (MSE with the hard quantizer on held-out data),
    ``bits_per_frame`` (what the quantizer's codes take), ``entropy_bits`` (their empirical entropy), ``effective_bits``
    (what R(D) asks for at the hard MSE, where the source knows it) and ``diverged_at`` (the update at which a member
    diverged, else NaN).

    Args:
        systems: The systems by name; a recipe may write them as a grid.
        seeds: Number of seeds, which are ``seed``, ``seed + 1``, ...
        seed: First seed of the weights, of the quantizers' noise and, with the data's own seed, of the data.
        features: Values per frame of the signal, the paper's P.
        schedule: Learning rate of the systems that name none; 1e-4 throughout if left out.
        skip_position: See ``SurrogateCodec``.
        slope: See ``SurrogateCodec``.
        divergence_ma_e: A member counts as diverged from the first update at which its MA-E exceeds this, or its MSE
            is not finite. It is only recorded: training goes on, and other members do not notice.

    Raises:
        ValueError: Without systems or seeds, or for a name that cannot stand in a curve's name.
    """

    def __init__(
        self,
        systems: dict[str, System],
        seeds: int = 1,
        seed: int = 0,
        features: int = 30,
        schedule: Schedule | None = None,
        skip_position: Literal["before", "after"] = "before",
        slope: Literal["shared", "channel"] = "shared",
        divergence_ma_e: float = 100.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.automatic_optimization = False
        check_systems(systems, seeds)
        if not divergence_ma_e > 0:
            raise ValueError(f"divergence_ma_e is {divergence_ma_e}: give a limit above 0")
        self.seeds = range(seed, seed + seeds)
        self.features, self.divergence_ma_e = features, divergence_ma_e
        default = Constant() if schedule is None else schedule
        self.losses = {name: system.losses for name, system in systems.items()}
        self.schedules = [default if s.schedule is None else s.schedule for s in systems.values()]
        self.systems = nn.ModuleDict({
            name: SystemCodec(
                system.quantizer,
                SurrogateCodec(seeds, features, system.embedding, skip_position, slope, self.seeds),
                self.seeds,
            )
            for name, system in systems.items()
        })  # fmt: skip
        self.diverged_at: Tensor
        self.sums: Tensor
        self.updates: Tensor
        self.register_buffer("diverged_at", torch.full((len(systems), seeds), torch.inf))
        self.register_buffer("sums", torch.zeros(2, len(systems), seeds))
        self.register_buffer("updates", torch.zeros(()))
        self._held_out: list[Tensor] = []
        self._bound: tuple[Tensor, Tensor] | None = None
        self._joint_updates: dict[SyntheticStream, JointUpdate] = {}
        # Each rank counts for itself; data parallelism must not overwrite the counts with those of rank 0.
        self._ddp_params_and_buffers_to_ignore = ["diverged_at", "sums", "updates"]

    def describe(self, data: LightningDataModule) -> RunDescription:
        """Return what a run on ``data`` states of itself: its metrics, and the theory of a known source."""
        return describe_run(getattr(data, "source", None))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam with its default betas, as in arXiv 2502.04770, section 4."""
        groups: dict[Schedule, list[nn.Parameter]] = {}  # systems of one schedule share a call of the optimizer
        for schedule, system in zip(self.schedules, self.systems.values(), strict=True):
            groups.setdefault(schedule, []).extend(system.parameters())
        rated = [{"params": each, "lr": schedule.value(0)} for schedule, each in groups.items()]
        return CudaGraphAdam(rated)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep settings that come from a recipe, as plain data; objects would need a loader that runs code."""
        if "_class_path" not in checkpoint["hyper_parameters"]:
            del checkpoint["hyper_parameters"]

    def training_step(self, block: DrawBlock, batch_idx: int) -> None:
        """Make ``block.count`` updates of every member; nothing in it waits for the device."""
        optimizer: Any = self.optimizers()
        adam: CudaGraphAdam = optimizer.optimizer
        first, joint_update = self.trainer.global_step, self._joint_update(block)
        if self._can_capture(joint_update):
            adam.capture(joint_update)
        schedules = list(dict.fromkeys(self.schedules))
        stats = torch.empty(block.count, 2, *self.diverged_at.shape, device=self.device)
        done = 0
        try:
            with ranks_apart(self.trainer):
                for row in stats:
                    joint_update.seek(first + done)
                    adam.set_rates([schedule.value(first + done) for schedule in schedules])
                    row.copy_(optimizer.step(partial(self._find_gradients, adam, joint_update)))
                    done += 1
        finally:  # an interrupted block counts as far as it came
            if done:
                self._add_up(stats[:done], first)
                self._show_progress(stats[done - 1])

    def _can_capture(self, joint_update: JointUpdate) -> bool:
        return self.device.type == "cuda" and self.trainer.world_size == 1 and joint_update.capturable

    def _find_gradients(self, adam: CudaGraphAdam, joint_update: JointUpdate) -> Tensor:
        adam.zero_grad()
        stats = self._backward(joint_update)
        self._average_gradients()
        return stats

    def _backward(self, joint_update: JointUpdate) -> Tensor:
        """Compute the gradients of every member; return MSE and MA-E ``(2, systems, seeds)``."""
        target, observed = joint_update.sampler.draw()
        mse: dict[str, Tensor] = {}
        ma_e: dict[str, Tensor] = {}
        for group in joint_update.groups:
            output = pass_together(list(group.values()), observed, joint_update.noise)
            losses = [mean_squared_error(output.decoded, target)]
            for name, quantized in zip(group, output.outputs, strict=True):
                if (total := self.losses[name].total(quantized.losses)) is not None:
                    losses.append(total)
            torch.autograd.backward(losses, [torch.ones_like(loss) for loss in losses])
            mse.update(zip(group, losses[0].detach().chunk(len(group)), strict=True))
            ma_e.update(zip(group, mean_absolute(output.z.detach()).chunk(len(group)), strict=True))
        return torch.stack([torch.stack([row[name] for name in self.systems]) for row in (mse, ma_e)])

    def _joint_update(self, block: object) -> JointUpdate:
        if not isinstance(block, DrawBlock):
            raise ValueError(
                f"surrogate codecs train on SyntheticBits, and the data are {type(block).__name__}: take that"
            )
        features = block.stream.source.features
        if features != self.features:
            raise ValueError(
                f"the data has {features} features a frame and the task {self.features}: "
                "set data.init_args.source.init_args.features and model.init_args.features alike"
            )
        if block.stream not in self._joint_updates:
            systems = {name: system for name, system in self.systems.items() if isinstance(system, SystemCodec)}
            self._joint_updates[block.stream] = JointUpdate(block.stream, self.seeds, systems)
        return self._joint_updates[block.stream]

    def _average_gradients(self) -> None:
        average_gradients(self.trainer, self.parameters())

    def _add_up(self, stats: Tensor, first: int) -> None:
        mse, ma_e = stats.unbind(1)
        lost = ~((mse < torch.inf) & (ma_e <= self.divergence_ma_e))
        at = torch.where(lost.any(dim=0), first + 1 + lost.int().argmax(dim=0), torch.inf)
        torch.minimum(self.diverged_at, at, out=self.diverged_at)
        self.sums += stats.sum(dim=0)
        self.updates += len(stats)

    def _show_progress(self, stats: Tensor) -> None:
        shown = dict(zip(self.systems, stats.mean(dim=2).unbind(1), strict=True))
        if len(shown) > 3:
            every = torch.stack(list(shown.values()))
            shown = {"lowest": every.amin(0), "highest": every.amax(0)}
        for name, (mse, ma_e) in shown.items():
            self.log_dict({f"{name} mse": mse, f"{name} ma_e": ma_e}, prog_bar=True, logger=False)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means and start anew."""
        mse, ma_e = self.sums / self.updates
        self._log({"mse": mse, "ma_e": ma_e})
        self.diverged_at.copy_(across_ranks(self.trainer, self.diverged_at, "min"))
        self._log({"diverged_at": self.diverged_at}, how="min")
        self.sums.zero_()
        self.updates.zero_()

    def validation_step(self, block: DrawBlock, batch_idx: int) -> None:
        """Measure every member with the hard quantizer on held-out draws."""
        for index in range(block.first, block.first + block.count):
            target, _, passed = self._pass(block, index)
            rows = []
            for _, output, decoded in passed.values():
                hard_mse = mean_squared_error(decoded, target)
                rows.append(torch.stack([hard_mse, output.bits.mean(dim=1), empirical_entropy(output.codes)]))
            self._held_out.append(torch.stack(rows, dim=1))
            self._bound = block.stream.source.rate_distortion()

    def _pass(
        self, block: DrawBlock, index: int
    ) -> tuple[Tensor, Tensor, dict[str, tuple[Tensor, QuantizerOutput, Tensor]]]:
        """Return target, observation and each system's embedding, output and decoded signal of a held-out draw."""
        joint_update = self._joint_update(block)
        joint_update.seek(index)
        target, observed = joint_update.sampler.draw()
        passed: dict[str, tuple[Tensor, QuantizerOutput, Tensor]] = {}
        for group in joint_update.groups:
            passed.update(
                zip(group, pass_together(list(group.values()), observed, joint_update.noise).each(), strict=True)
            )
        return target, observed, {name: passed[name] for name in self.systems}

    def on_validation_epoch_end(self) -> None:
        """Log the means over the held-out draws."""
        means = dict(zip(_HELD_OUT, torch.stack(self._held_out).mean(dim=0), strict=True))
        self._held_out.clear()
        if self._bound is not None:
            means["effective_bits"] = effective_bits(means["hard_mse"].cpu(), *self._bound).to(self.sums)
        self._log(means)

    def test_step(self, block: DrawBlock, batch_idx: int) -> None:
        """Measure as in validation, on other draws."""
        self.validation_step(block, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log as in validation."""
        self.on_validation_epoch_end()

    def predict_step(self, block: DrawBlock, batch_idx: int) -> dict[str, dict[str, Tensor]]:
        """Return target, observation and, for each system, codes and decoded signal of the block's first draw."""
        target, observed, passed = self._pass(block, block.first)
        result = {"data": {"target": target, "observation": observed}}
        for name, (z, output, decoded) in passed.items():
            result[name] = {"embedding": z, "codes": output.codes, "decoded": decoded}
        return result

    def _log(self, metrics: Mapping[str, Tensor], how: str = "mean") -> None:
        """Log ``(systems, seeds)`` metrics: their mean or min over seeds to everyone, single seeds to the loggers.

        A minimum of infinity means that there is none, and is logged as NaN.
        """
        if self.trainer.sanity_checking:
            return
        values = across_ranks(self.trainer, torch.stack(list(metrics.values())), how)
        merged = values.mean(dim=2) if how == "mean" else values.amin(dim=2)
        if how == "min":
            values, merged = (t.masked_fill(t == torch.inf, torch.nan) for t in (values, merged))
        names = [[f"{metric}/{system}" for system in self.systems] for metric in metrics]
        self.log_dict({name: m for row, ms in zip(names, merged, strict=True) for name, m in zip(row, ms, strict=True)})
        by_seed: dict[str, float] = {"epoch": self.trainer.current_epoch}
        by_seed |= {
            f"{BY_SEED}{name}/{seed}": value
            for row, table in zip(names, values.tolist(), strict=True)
            for name, of_seeds in zip(row, table, strict=True)
            for seed, value in zip(self.seeds, of_seeds, strict=True)
        }
        for logger in self.trainer.loggers:
            logger.log_metrics(by_seed, step=self.trainer.global_step)
        self.log("step", float(self.trainer.global_step))
