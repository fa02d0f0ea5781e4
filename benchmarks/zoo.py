"""Time per update and system of every class in the catalogue: `qcodec fit` against a plain PyTorch loop.

    python benchmarks/zoo.py                          # everything that `qcodec zoo` lists, with 1 system and 10
    python benchmarks/zoo.py STE ReinMax EMACodebook

Each class stands in a quantizer of 30 channels: an estimator in the scalar quantizer of four levels (one that takes no
single dimension, in a vector quantizer), a codebook in a vector quantizer of 64 points, an allocator in a residual
quantizer of four stages, a layer before the scalar quantizer. Both sides train the surrogate of arXiv 2502.04770 with
that quantizer and with commitment:

* loop: one system after the other, as one would write it in PyTorch, with the package's quantizer in it; its time per
  system does not depend on how many there are,
* fit: `qcodec fit` of 1 and of 10 systems, with all that Lightning costs.

They take turns of some updates in one process, one thread, in CPU seconds; the best turn of each is printed.
"""

import argparse
import os
import time

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as `qcodec fit` has it; read when torch is loaded

import torch
from machine import machine
from surrogate import PlainCodec, best_turns, nearest

import qcodec
from qcodec.losses.weights import LossWeights
from qcodec.quantizers.catalogue import catalogue
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System

WIDTH, POINTS = 30, 64
WEIGHTS = {"commitment": 0.1, "codebook": 1.0, "others": 0.1}
NOT_HERE = {
    "ImportanceMask": "needs the features of an audio codec",
    "KMeansStart": "is its codebook after the first update",
}


def points():
    return qcodec.LearnedCodebook(POINTS, WIDTH, "euclidean")


def residual(allocator):
    return qcodec.residual_vq(WIDTH, n_codebooks=4, codebook_size=POINTS, codebook_dim=8, allocator=allocator)


def product():
    return qcodec.product_vq(WIDTH, 15, qcodec.LearnedCodebook(16, 2, "euclidean"))


def layered(layer):
    return qcodec.LayeredQuantizer(qcodec.ScalarQuantizer(4), before=[layer])


# what a class is built with, where its defaults do not suit 30 channels
SPECIAL = {
    "AnnealedDither": lambda: qcodec.AnnealedDither(qcodec.ScalarQuantizer(4), 0.3, 1000),
    "AroundQuantizer": lambda: qcodec.AroundQuantizer(
        qcodec.ScalarQuantizer(4, estimator=qcodec.NoGradient()), qcodec.STE()
    ),
    "AroundStage": lambda: qcodec.AroundStage(qcodec.VectorQuantizer(points(), qcodec.NoGradient()), qcodec.STE()),
    "BSQ": lambda: qcodec.ProjectedStage(WIDTH, qcodec.BSQ(10)),
    "Bounded": lambda: layered(qcodec.Bounded(2.0)),
    "FSQ": lambda: qcodec.FSQ((4,) * WIDTH),
    "FSQStage": lambda: qcodec.ProjectedStage(WIDTH, qcodec.FSQStage((8, 5, 5, 5))),
    "FactorizedVQ": lambda: qcodec.FactorizedVQ(WIDTH, qcodec.LearnedCodebook(POINTS, 8)),
    "LFQ": lambda: qcodec.ProjectedStage(WIDTH, qcodec.LFQ(10)),
    "LayeredQuantizer": lambda: layered(qcodec.LayerNorm()),
    "Levels": lambda: qcodec.ScalarQuantizer(4),
    "ProductQuantizer": product,
    "ProjectedQuantizer": lambda: qcodec.ProjectedQuantizer(WIDTH, 20, qcodec.ScalarQuantizer(8)),
    "ProjectedStage": lambda: qcodec.ProjectedStage(WIDTH, qcodec.LFQ(10)),
    "ResidualVQ": lambda: residual(None),
    "SFDiVeQ": lambda: qcodec.SFDiVeQ(points()),
    "SoftRound": lambda: qcodec.SoftRound(qcodec.UniversalQuantizer(4), 5.0),
    "VectorQuantizePytorch": lambda: qcodec.VectorQuantizePytorch(
        "VectorQuantize", {"dim": WIDTH, "codebook_size": POINTS, "rotation_trick": False}
    ),
    "VectorQuantizer": lambda: qcodec.VectorQuantizer(points()),
    "Whitening": lambda: layered(qcodec.Whitening(WIDTH)),
    "product_vq": product,
    "residual_fsq": lambda: qcodec.ProjectedQuantizer(WIDTH, 4, qcodec.residual_fsq((8, 5, 5, 5), 4)),
    "residual_vq": lambda: residual(None),
}
FAMILY = {
    "quantizer": lambda kind: kind(),
    "estimator from a point": lambda kind: qcodec.ScalarQuantizer(4, estimator=kind()),
    "estimator from logits": lambda kind: qcodec.ScalarQuantizer(4, estimator=kind()),
    "codebook": lambda kind: qcodec.VectorQuantizer(kind(POINTS, WIDTH)),
    "rate allocator": lambda kind: residual(kind()),
    "layer": lambda kind: layered(kind()),
}


def build(entry):
    """Return a quantizer of 30 channels with the class of an entry in it."""
    if entry.name in SPECIAL:
        return SPECIAL[entry.name]()
    kind = getattr(qcodec, entry.name)
    return qcodec.VectorQuantizer(points(), kind()) if "2 dimensions" in entry.needs else FAMILY[entry.family](kind)


class Loop:
    """Trains one system as one would write it; more would only repeat it."""

    def __init__(self, quantizer):
        self.rotation, self.quantizer, self.codec = torch.linalg.qr(torch.randn(30, 30))[0], quantizer, PlainCodec()
        self.adam = torch.optim.Adam([*self.codec.parameters(), *quantizer.parameters()], lr=1e-4)

    def update(self, _):
        target, outputs = nearest(torch.randn(2000, 30), 4), []

        def quantize(z):
            outputs.append(self.quantizer(z.t()[None]))
            return outputs[0].z_hat[0].t()

        decoded, _ = self.codec(target @ self.rotation, quantize)
        loss = (decoded - target).square().mean()
        for name, each in outputs[0].losses.items():
            loss = loss + WEIGHTS.get(name, WEIGHTS["others"]) * each.mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()


def take_turns(entry, systems, loop, options):
    """Return seconds per update and system of the best turns of fit and of the loop."""
    names = build(entry)(torch.randn(1, WIDTH, 8)).losses
    others = {name: WEIGHTS["others"] for name in names if name not in WEIGHTS}
    weights = LossWeights(**{name: WEIGHTS[name] for name in names if name in WEIGHTS}, others=others)
    task = SurrogateTask({"it": System(build(entry), weights)}, seeds=systems)
    best = best_turns(task, {"loop": loop}, "cpu", options.updates, options.blocks, time.process_time)
    return best["fit"] / systems, best["loop"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="*", help="classes, as `qcodec zoo` lists them; all if left out")
    parser.add_argument("--systems", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--updates", type=int, default=4, help="updates of a turn")
    parser.add_argument("--blocks", type=int, default=4, help="turns of each side, after one that is not counted")
    options = parser.parse_args()
    entries = [entry for entry in catalogue() if not options.name or entry.name in options.name]
    if missing := set(options.name) - {entry.name for entry in entries}:
        parser.error(f"{', '.join(sorted(missing))}: not what `qcodec zoo` lists")
    torch.set_num_threads(1)
    print(machine())
    print("milliseconds of CPU time per update and system, one thread")
    heads = [f"fit of {systems}" for systems in options.systems]
    print(f"| {' | '.join(['', 'loop', *heads, 'loop / fit'])} |\n|{'---|' * (3 + len(heads))}", flush=True)
    for entry in entries:
        if entry.name in NOT_HERE:
            print(f"| `{entry.name}` | {NOT_HERE[entry.name]} {'| ' * (1 + len(heads))}|", flush=True)
            continue
        torch.manual_seed(0)
        found = [take_turns(entry, systems, Loop(build(entry)), options) for systems in options.systems]
        own, loop = [fit for fit, _ in found], min(loop for _, loop in found)
        times = " | ".join(f"{each * 1e3:.2f}" for each in (loop, *own))
        print(f"| `{entry.name}` | {times} | {', '.join(f'{loop / each:.2f}' for each in own)} |", flush=True)


if __name__ == "__main__":
    main()
