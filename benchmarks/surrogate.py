"""Time per update and system: `qcodec fit` against a plain PyTorch loop and the package's own path without kernels.

    python benchmarks/surrogate.py                       # 1 and 10 systems, one thread and two
    python benchmarks/surrogate.py --systems 50 --blocks 3 --sides loop kernels

All sides draw the same kind of data and train the ten systems of arXiv 2502.04770:

* loop: one system after the other, as one would write it in PyTorch,
* plain: the package's batched path with its kernels off (QCODEC_KERNELS=0), without a Trainer,
* compiled: `torch.compile` of that batched path, without a Trainer,
* kernels: `qcodec fit`, with all that Lightning costs.

They take turns of some updates in one process, so that other work on the machine meets all of them; the best turn of
each is printed, without start-up and compilation, and the share of the machine's peak, a large float32 matrix product
timed in the same process, that the kernels' update reaches. One thread is timed in CPU seconds, all else by the wall
clock. On a machine with a GPU the sides run there too.
"""

import argparse
import json
import os
import time
import warnings

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as `qcodec fit` has it; read when torch is loaded

import torch
from machine import in_a_process, machine, peak_flops
from torch import nn

SYSTEMS = (
    "none",
    "sq_ste",
    "sq_ste_cl",
    "sq_mste",
    "sq_mste_cl",
    "sq_ste_cl_120",
    "na",
    "na_cl",
    "na_det",
    "na_det_cl",
)
SIDES = ("loop", "plain", "compiled", "kernels")
FLOPS = 3 * 6 * 2 * 30 * 30 * 2000  # an update: forward, and twice that backward, of six layers for 2000 frames


class PlainCodec(nn.Module):
    """The surrogate codec as one would write it: frames are rows, one module per layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(30, 30) for _ in range(6))
        self.prelus = nn.ModuleList(nn.PReLU() for _ in range(5))

    def forward(self, x, quantize):
        first, second, third, fourth, fifth, sixth = self.linears
        h = self.prelus[0](first(x) + x)
        h = self.prelus[1](second(h) + h)
        z = third(h)
        h = self.prelus[2](fourth(quantize(z)))
        h = self.prelus[3](fifth(h) + h)
        return self.prelus[4](sixth(h)), z


def nearest(z, levels):
    return ((z + levels / 2).floor().clamp(0, levels - 1)) - (levels - 1) / 2


def plain_quantizer(name):
    levels = 16 if name.endswith("120") else 4

    def quantize(z):
        if name == "none":
            return z
        if name.startswith("na"):
            gain = 10 ** (-8 * torch.rand((), device=z.device) / 20)
            noise = gain * z.std() * torch.randn_like(z)
            return z + (noise.detach() if "det" in name else noise)
        error = nearest(z, levels) - z
        if "mste" in name:
            sigma = error.std()
            return z + error.detach() * sigma / sigma.detach()
        return z + error.detach()

    return quantize, levels


class Loop:
    """Trains one system after the other; more seeds would only repeat them."""

    def __init__(self, names, device):
        self.rotation, self.systems = torch.linalg.qr(torch.randn(30, 30, device=device))[0], []
        for name in names:
            codec = PlainCodec().to(device)
            self.systems.append((name, codec, torch.optim.Adam(codec.parameters(), lr=1e-4), *plain_quantizer(name)))

    def update(self, _):
        for name, codec, adam, quantize, levels in self.systems:
            target = nearest(torch.randn(2000, 30, device=self.rotation.device), 4)
            decoded, z = codec(target @ self.rotation, quantize)
            loss = (decoded - target).square().mean()
            if "_cl" in name:
                loss = loss + 0.1 * (z - nearest(z, levels).detach()).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()


def our_system(name):
    from qcodec import STE, DetachedNoiseApproximation, Identity, ModifiedSTE, NoiseApproximation, ScalarQuantizer
    from qcodec.losses.weights import LossWeights
    from qcodec.tasks.system import System

    if name == "none":
        return System(Identity())
    kind = {"sq_ste": STE, "sq_mste": ModifiedSTE, "na": NoiseApproximation, "na_det": DetachedNoiseApproximation}
    estimator = kind[name.removesuffix("_120").removesuffix("_cl")]()
    quantizer = ScalarQuantizer(16 if name.endswith("120") else 4, estimator=estimator)
    return System(quantizer, LossWeights(commitment=0.1 if "_cl" in name else 0.0))


def our_task(names, seeds):
    from qcodec.tasks.surrogate import SurrogateTask

    return SurrogateTask({name: our_system(name) for name in names}, seeds=seeds)


class Batched:
    """Trains all systems by the package's batched path without kernels, as it is or compiled."""

    def __init__(self, names, seeds, device, compiled):
        from qcodec.data.rounded_gaussian import RoundedGaussian
        from qcodec.data.stream import SyntheticStream
        from qcodec.tasks.joint_update import JointUpdate

        self.task = our_task(names, seeds).to(device)
        self.adam = self.task.configure_optimizers()
        stream = SyntheticStream(RoundedGaussian(), device=device)
        self.work = JointUpdate(stream, self.task.seeds, dict(self.task.systems.items()))
        self.forward = torch.compile(self._forward, dynamic=False) if compiled else self._forward
        if compiled:  # draws stay with the generators of the members
            from qcodec.quantizers import estimators

            torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 4096
            for name in ("normal_like", "uniform_like"):
                setattr(estimators, name, torch._dynamo.disable(getattr(estimators, name)))

    @staticmethod
    def _forward(systems, weights, observed, target):
        from qcodec.functional import mean_absolute, mean_squared_error
        from qcodec.layers.batched_mlp import apply_batched_mlps

        z = apply_batched_mlps([system.codec.encoder for system in systems], observed)
        parts = z.chunk(len(systems))
        outputs = [system.quantizers[0](part) for system, part in zip(systems, parts, strict=True)]
        z_hat = torch.cat([output.z_hat for output in outputs])
        losses = [mean_squared_error(apply_batched_mlps([system.codec.decoder for system in systems], z_hat), target)]
        totals = [weight.total(output.losses) for weight, output in zip(weights, outputs, strict=True)]
        return [*losses, *(total for total in totals if total is not None)], mean_absolute(z.detach())

    def update(self, index):
        from qcodec.random_streams import drawing_from

        os.environ["QCODEC_KERNELS"] = "0"
        self.work.seek(index)
        target, observed = self.work.sampler.draw()
        self.adam.zero_grad()
        for group in self.work.groups:
            with drawing_from(self.work.noise):
                losses, _ = self.forward(
                    list(group.values()), [self.task.losses[name] for name in group], observed, target
                )
            torch.autograd.backward(losses, [torch.ones_like(loss) for loss in losses])
        self.adam.step()
        os.environ["QCODEC_KERNELS"] = "1"


def take_turns(options):
    """Seconds per update and system of each side's best turn, and the share of the peak that kernels reach."""
    torch.manual_seed(0)
    device, (systems,) = options.device, options.systems
    names, seeds = (SYSTEMS, systems // len(SYSTEMS)) if systems > 1 else (["sq_mste"], 1)
    members = {"loop": len(names)}
    others = {}
    if "loop" in options.sides:
        others["loop"] = Loop(names, device)
    for side in ("plain", "compiled"):
        if side in options.sides:
            others[side] = Batched(names, seeds, device, side == "compiled")
    clock = time.process_time if device == "cpu" and options.threads == [1] else time.perf_counter
    best = best_turns(our_task(names, seeds), others, device, options.updates, options.blocks, clock)
    best["kernels"] = best.pop("fit")
    return {
        "seconds": {side: seconds / members.get(side, systems) for side, seconds in best.items()},
        "peak": peak_flops(device, clock),
    }


def best_turns(task, others, device, updates, blocks, clock):
    """Seconds per update of the best turn of a fit of ``task``, under "fit", and of others, by name.

    They take turns of some updates; the first of each is not counted.
    """
    import logging

    from lightning import Callback, Trainer

    from qcodec.data.synthetic import SyntheticBits

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seconds = {side: [] for side in (*others, "fit")}

    class Turns(Callback):
        def on_train_batch_start(self, trainer, task, batch, index):
            synchronize(device)
            self.begin = clock()

        def on_train_batch_end(self, trainer, task, outputs, batch, index):
            synchronize(device)
            seconds["fit"].append(clock() - self.begin)
            for side, each in others.items():
                begin = clock()
                for update in range(index * updates, (index + 1) * updates):
                    each.update(update)
                synchronize(device)
                seconds[side].append(clock() - begin)

    data = SyntheticBits(updates_per_epoch=updates * (blocks + 1), updates_per_step=updates, held_out_draws=1)
    trainer = Trainer(
        callbacks=[Turns()], max_epochs=1, accelerator=device, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(task, data)
    return {side: min(turns[1:]) / updates for side, turns in seconds.items()}


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--systems", type=int, nargs="+", default=[1, 10], help="1 or multiples of 10")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--updates", type=int, default=10, help="updates of a turn")
    parser.add_argument("--blocks", type=int, default=15, help="turns of each side, after one that is not counted")
    parser.add_argument("--device", choices=["cpu", "cuda"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if any(systems != 1 and systems % len(SYSTEMS) for systems in options.systems):
        parser.error(f"--systems {options.systems}: give 1 or multiples of {len(SYSTEMS)}")
    if options.device:
        torch.set_num_threads(options.threads[0])
        print(json.dumps(take_turns(options)))
        return
    print(machine())
    print("milliseconds per update and system; ratios to kernels")
    print("device threads systems " + "".join(f"{side:>10}" for side in options.sides) + "  ratios")
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for threads in options.threads if device == "cpu" else options.threads[:1]:
            for systems in options.systems:
                words = ["--device", device, "--threads", threads, "--systems", systems, "--sides", *options.sides]
                words += ["--updates", options.updates, "--blocks", options.blocks]
                found = in_a_process(__file__, words, OMP_NUM_THREADS=str(threads))
                own, peak = found["seconds"]["kernels"], found["peak"]
                times = "".join(f"{found['seconds'][side] * 1e3:>10.3f}" for side in options.sides)
                ratios = " ".join(f"{found['seconds'][side] / own:.2f}" for side in options.sides)
                print(f"{device:<6} {threads:>7} {systems:>7} {times}  {ratios}")
                print(
                    f"       {FLOPS / own / 1e9:.1f} GFLOP/s of {peak / 1e9:.1f} in a matrix product: "
                    f"{FLOPS / own / peak:.0%} of the peak", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
