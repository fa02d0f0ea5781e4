"""Time per update and system: `qcodec fit` against a plain PyTorch loop of the same systems, side by side.

    python benchmarks/surrogate.py                       # 1, 10 and 50 systems, one thread and two
    python benchmarks/surrogate.py --systems 10 --rounds 5

Both sides draw the same kind of data, train the ten systems of arXiv 2502.04770 and take turns, each in a process of
its own; the median over the rounds is printed, with the updates per second of one system and the largest memory that
each process held. Start-up and the first updates are left out on both sides. On a machine with a GPU, both sides run
there too.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import torch
from machine import machine
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


def time_plain(systems, updates, device):
    """Seconds per update and system of the loops, one after another; more seeds would only repeat them."""
    rotation = torch.linalg.qr(torch.randn(30, 30, device=device))[0]
    total = 0.0
    names = SYSTEMS if systems > 1 else ["sq_mste"]
    for name in names:
        torch.manual_seed(0)
        codec = PlainCodec().to(device)
        adam = torch.optim.Adam(codec.parameters(), lr=1e-4)
        quantize, levels = plain_quantizer(name)
        for update in range(updates + updates // 4):
            if update == updates // 4:
                synchronize(device)
                begin = time.perf_counter()
            target = nearest(torch.randn(2000, 30, device=device), 4)
            decoded, z = codec(target @ rotation, quantize)
            loss = (decoded - target).square().mean()
            if "_cl" in name:
                loss = loss + 0.1 * (z - nearest(z, levels).detach()).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        synchronize(device)
        total += time.perf_counter() - begin
    return total / updates / len(names)


def time_ours(systems, updates, device):
    """Seconds per update and system of a fit, with all that Lightning and the logging of an epoch cost."""
    import logging
    import warnings

    from lightning import Callback, Trainer

    from qcodec.data.synthetic import SyntheticBits
    from qcodec.tasks.surrogate import SurrogateTask

    class Clock(Callback):
        def __init__(self):
            self.marks = []

        def on_train_epoch_start(self, trainer, task):
            synchronize(device)
            self.marks.append(time.perf_counter())

        def on_train_epoch_end(self, trainer, task):
            synchronize(device)
            self.marks.append(time.perf_counter())

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seeds = max(1, systems // len(SYSTEMS))
    names = SYSTEMS if systems > 1 else ["sq_mste"]
    task = SurrogateTask({name: our_system(name) for name in names}, seeds=seeds)
    data = SyntheticBits(updates_per_epoch=updates, updates_per_step=50, held_out_draws=1)
    clock = Clock()
    trainer = Trainer(
        callbacks=[clock], max_epochs=2, accelerator=device, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(task, data)
    return (clock.marks[-1] - clock.marks[-2]) / updates / systems


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


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def measure(side, systems, threads, device, updates):
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--systems", str(systems), "--device", device]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if side == "ours":
        environment["GOMP_SPINCOUNT"] = "2000"  # as `qcodec fit` has it
    done = subprocess.run(
        [*command, "--updates", str(updates)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--systems", type=int, nargs="+", default=[1, 10, 50], help="1 or multiples of 10")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, help="updates timed per round and side")
    parser.add_argument("--side", choices=["plain", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if any(systems != 1 and systems % len(SYSTEMS) for systems in options.systems):
        parser.error(f"--systems {options.systems}: give 1 or multiples of {len(SYSTEMS)}")
    if options.side:
        run = {"plain": time_plain, "ours": time_ours}[options.side]
        seconds = run(options.systems[0], options.updates, options.device)
        on_gpu = options.device == "cuda"
        memory = (
            torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        )
        print(json.dumps({"seconds": seconds, "memory": memory}))
        return
    print(machine())
    print("device threads systems  plain ms  ours ms  ratio  plain/s  ours/s  plain MB  ours MB")
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for threads in options.threads if device == "cpu" else options.threads[:1]:
            for systems in options.systems:
                updates = options.updates or (2000 if device == "cuda" else 400 if systems <= 10 else 100)
                rounds = [
                    [measure(side, systems, threads, device, updates) for side in ("plain", "ours")]
                    for _ in range(options.rounds)
                ]
                plain, ours = (statistics.median(r[k]["seconds"] for r in rounds) for k in range(2))
                megabytes = [max(r[k]["memory"] for r in rounds) / 2**20 for k in range(2)]
                print(
                    f"{device:<6} {threads:>7} {systems:>7} {plain * 1e3:>9.3f} {ours * 1e3:>8.3f} "
                    f"{plain / ours:>6.2f} {1 / plain:>8.0f} {1 / ours:>7.0f} "
                    f"{megabytes[0]:>9.0f} {megabytes[1]:>8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
