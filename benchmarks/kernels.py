"""Time of each CPU kernel, forward and backward, against PyTorch's operations and `torch.compile` of the same path.

    python benchmarks/kernels.py                     # the surrogate's shapes with 1, 3 and 10 members, DAC's for Snake
    python benchmarks/kernels.py --only snake --rounds 20

The sides are the package's own functions with kernels, without (``QCODEC_KERNELS=0``) and compiled, which takes the
plain path too. They take turns in one process; the best turn of each is printed, in CPU time where there is one thread.
Start-up is left out.
"""

import argparse
import os
import time
import warnings

import torch
from machine import machine
from torch import nn

from qcodec.functional import (
    mean_absolute,
    mean_squared_error,
    modified_straight_through,
    nearest_level,
    noise_approximation,
)
from qcodec.layers.batched_mlp import BatchedMLP
from qcodec.layers.snake import Snake

FEATURES, FRAMES = 30, 2000
SIDES = ("kernel", "plain", "compiled")
# (batch, channels, values) of the Snakes of the two DACs of benchmarks/dac_step.py, crops of 6080 samples
SNAKES = ((2, 16, 6080), (2, 64, 3040), (2, 128, 760), (2, 256, 19), (2, 64, 6080), (2, 512, 760), (2, 1536, 19))


def draw(*shape):
    return torch.randn(shape)


def mlp_cases(members):
    """Yield the surrogate's encoder, whose input needs no gradient, and its decoder."""
    for name, activation, skip in (("encoder", (True, True, False), (True, True, False)),
                                   ("decoder", (True, True, True), (False, True, False))):  # fmt: skip
        mlp = BatchedMLP(
            members, (FEATURES,) * 4, skip=skip, activation=activation, skip_position="before", slope="shared",
            generators=[torch.Generator().manual_seed(seed) for seed in range(members)],
        )  # fmt: skip
        yield name, mlp, [draw(members, FEATURES, FRAMES).requires_grad_(name == "decoder")], list(mlp.parameters())


def elementwise_cases(members):
    """Yield each function outside of the layers, and all between encoder and decoder of one system, as one function."""
    z, other = draw(members, FEATURES, FRAMES).requires_grad_(), draw(members, FEATURES, FRAMES)
    gain = torch.rand(members, 1, 1)

    def quantize(z, _):
        codes, z_q = nearest_level(z.detach(), 4)
        z_hat = modified_straight_through(z, z_q, (1, 2))
        return z_hat, mean_squared_error(z, z_q), mean_absolute(z.detach()), codes

    yield "nearest_level", lambda z, other: nearest_level(z.detach(), 4), [z, other], []
    yield "mean_absolute", lambda z, other: mean_absolute(z.detach()), [z, other], []
    yield "mean_squared_error", mean_squared_error, [z, other], []
    yield "mSTE", lambda z, other: modified_straight_through(z, other, (1, 2)), [z, other], []
    yield "noise", lambda z, other: noise_approximation(z, other, gain, (1, 2)), [z, other], []
    yield "quantizer of sq_mste_cl", quantize, [z, other], []


def snake_cases(shape):
    """Yield the activation in training."""
    module = Snake(nn.Parameter(0.01 + 2 * torch.rand(1, shape[1], 1)))
    yield "x".join(map(str, shape)), module, [draw(*shape).requires_grad_()], list(module.parameters())


def turn(function, inputs, parameters, count):
    """Seconds of a call with its backward pass."""
    wanted = [tensor for tensor in (*inputs, *parameters) if tensor.requires_grad]
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    for _ in range(count):
        y = function(*inputs)
        ends = [tensor for tensor in (y if isinstance(y, tuple) else (y,)) if tensor.requires_grad]
        if ends:
            torch.autograd.grad(ends, wanted, [torch.ones_like(tensor) for tensor in ends])
    return (clock() - begin) / count


def compare(kernel, members, name, function, inputs, parameters, rounds):
    """Print the best turns of the three sides."""
    torch._dynamo.reset()
    functions = {"kernel": function, "plain": function, "compiled": torch.compile(function, dynamic=False)}
    seconds = {side: [] for side in SIDES}
    count = 1
    for index in range(rounds + 1):  # the first is not counted
        for side in SIDES:
            os.environ["QCODEC_KERNELS"] = "1" if side == "kernel" else "0"
            if index == 0:
                turn(functions[side], inputs, parameters, 2)
                count = max(count, int(0.01 / turn(functions[side], inputs, parameters, 1)))
            else:
                seconds[side].append(turn(functions[side], inputs, parameters, min(count, 50)))
    own, plain, compiled = (min(seconds[side]) * 1e3 for side in SIDES)
    print(
        f"{kernel:<12} {members:>7}  {name:<24} {own:>9.3f} {plain:>9.3f} {compiled:>11.3f} {plain / own:>7.2f} "
        f"{compiled / own:>9.2f}", flush=True,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=["batched_mlp", "elementwise", "snake"])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    print(f"{machine()}, {options.threads} threads")
    print("kernel       members  case                     kernel ms  plain ms compiled ms  plain/  compiled/kernel")
    groups = {"batched_mlp": mlp_cases, "elementwise": elementwise_cases}
    for kernel, cases in groups.items():
        for members in options.members if options.only in (None, kernel) else []:
            for case in cases(members):
                compare(kernel, members, *case, options.rounds)
    for shape in SNAKES if options.only in (None, "snake") else []:
        for case in snake_cases(shape):
            compare("snake", 1, *case, options.rounds)


if __name__ == "__main__":
    main()
