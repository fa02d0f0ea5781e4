"""The question whether two processes learn as one does: in real processes, over gloo."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing
from torch.nn import Module

from qcodec.conformance.question import Ask, BrokenError, Case, NotAskedError

_RANKS = 2


def two_ranks(case: Case) -> str:
    """Two ranks with half a batch each learn as one process does with all of it."""
    z = case.embedding()
    if _draws(case, z):
        raise NotAskedError("it draws random numbers in training, of which each rank has its own")
    quantizer = case.quantizer()
    with tempfile.TemporaryDirectory() as folder:
        torch.save((quantizer, z, case.features_of(z)), Path(folder, "start"))
        with _one_thread():
            multiprocessing.spawn(_rank, (folder,), nprocs=_RANKS)  # type: ignore[attr-defined, no-untyped-call]
        first, second = (torch.load(Path(folder, f"end{rank}"), weights_only=True) for rank in range(_RANKS))
    whole = _learn(quantizer, z, case.features_of(z))
    for name, value in whole["state"].items():
        if not torch.equal(first["state"][name], second["state"][name]):
            raise BrokenError(f"{name} differs between the ranks", "sum what it learns from over all ranks")
        if not torch.allclose(first["state"][name].double(), value.double(), rtol=1e-4, atol=1e-5):
            raise BrokenError(f"{name} is another than of one process", "sum what it learns from over all ranks")
    for name, gradient in whole["gradients"].items():
        mean = (first["gradients"][name] + second["gradients"][name]) / _RANKS
        if not torch.allclose(mean, gradient, rtol=1e-3, atol=1e-3 * gradient.abs().max().item()):
            remedy = "take statistics of each entry apart, or over all ranks"
            raise BrokenError(f"the gradient of {name} is another than of one process", remedy)
    return ""


QUESTIONS: tuple[Ask, ...] = (two_ranks,)


def _draws(case: Case, z: Tensor) -> bool:
    outputs = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            quantizer = case.quantizer()
            torch.manual_seed(seed)
            outputs.append(case.output(quantizer, z))
    return any(not torch.equal(getattr(outputs[0], name), getattr(outputs[1], name)) for name in ("z_hat", "bits"))


def _learn(quantizer: Module, z: Tensor, features: Tensor) -> dict[str, dict[str, Tensor]]:
    """Call it once in training; return its buffers after that, and the gradients of a mean over entries."""
    output = quantizer(z, features=features, level=None)
    loss = output.z_hat.square().mean() + sum(loss.mean() for loss in output.losses.values())
    if loss.requires_grad:
        loss.backward()
    gradients = {name: weight.grad for name, weight in quantizer.named_parameters() if weight.grad is not None}
    return {"state": dict(quantizer.named_buffers()), "gradients": gradients}


def _rank(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=_RANKS)
    torch.manual_seed(0)
    quantizer, z, features = torch.load(Path(folder, "start"), weights_only=False)  # written by the parent
    torch.save(_learn(quantizer, z.chunk(_RANKS)[rank], features.chunk(_RANKS)[rank]), Path(folder, f"end{rank}"))
    distributed.barrier()  # a rank that left while the other still listens would abort it at its end
    distributed.destroy_process_group()
    os._exit(0)  # all is written: PyTorch's threads at times abort while Python is torn down


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let the ranks have one thread each."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        os.environ.update({} if before is None else {"OMP_NUM_THREADS": before})
