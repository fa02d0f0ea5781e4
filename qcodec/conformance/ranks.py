"""The question whether two processes learn as one does: in real processes, over gloo."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing
from torch.nn import Module
from torch.nn.utils import clip_grad_norm_

from qcodec.conformance.question import Ask, BrokenError, Case, NotAskedError
from qcodec.random_streams import part_of_batch

_RANKS, _UPDATES, _RATE = 2, 20, 0.05


def two_ranks(case: Case) -> str:
    """Two ranks with half a batch each learn as one process does with all of it, for 20 updates."""
    z = case.embedding()
    if _draws_apart(case, z):
        raise NotAskedError("it draws random numbers, but not by qcodec.random_streams: each rank has its own")
    quantizer = case.quantizer()
    with tempfile.TemporaryDirectory() as folder:
        torch.save((quantizer, z, case.features_of(z)), Path(folder, "start"))
        with _one_thread():
            multiprocessing.spawn(_rank, (folder,), nprocs=_RANKS)  # type: ignore[attr-defined, no-untyped-call]  # both lack types in PyTorch
        ranks = [torch.load(Path(folder, f"end{rank}"), weights_only=True) for rank in range(_RANKS)]
    with torch.random.fork_rng(devices=[]):
        whole = _learn(quantizer, z, case.features_of(z), 0, len(z))
    for update, (first, second, alone) in enumerate(zip(*ranks, whole, strict=True), 1):
        for name, value in alone.items():
            if not torch.equal(first[name], second[name]):
                raise BrokenError(f"{name} differs between the ranks", "sum what it learns from over all ranks")
            least = 1e-3 * value.double().abs().max().item()
            if not torch.allclose(first[name].double(), value.double(), rtol=1e-3, atol=max(1e-5, least)):
                remedy = "sum what it learns from over all ranks, and take statistics of each entry apart"
                raise BrokenError(f"after update {update} {name} is another than of one process", remedy)
    return ""


QUESTIONS: tuple[Ask, ...] = (two_ranks,)


def _draws_apart(case: Case, z: Tensor) -> bool:
    """Return whether what it draws for half the batch depends on more than what all ranks have in common."""
    outputs = []
    for own_seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            quantizer = case.quantizer()
            with part_of_batch(0, len(z) // _RANKS, len(z), seed=0, own_seed=own_seed):
                outputs.append(case.output(quantizer, z.chunk(_RANKS)[0]))
    return any(not torch.equal(getattr(outputs[0], name), getattr(outputs[1], name)) for name in ("z_hat", "bits"))


def _learn(quantizer: Module, z: Tensor, features: Tensor, first: int, whole: int) -> list[dict[str, Tensor]]:
    """Train it by a mean over entries, and over ranks; return its state and gradients after each update."""
    history = []
    for update in range(_UPDATES):
        with part_of_batch(first, len(z), whole, seed=update, own_seed=1000 + first):
            output = quantizer(z.roll(update, dims=2), features=features.roll(update, dims=2), level=None)
        loss = output.z_hat.square().mean() + sum(loss.mean() for loss in output.losses.values())
        if loss.requires_grad:
            loss.backward()
        trained = {name: weight for name, weight in quantizer.named_parameters() if weight.grad is not None}
        if distributed.is_initialized():
            for weight in trained.values():
                distributed.all_reduce(weight.grad)
                torch.as_tensor(weight.grad).div_(_RANKS)
        clip_grad_norm_(trained.values(), 1.0)  # some are very long where a frame is zero
        held = {name: buffer.clone() for name, buffer in quantizer.named_buffers()}
        for name, weight in trained.items():
            held[f"the gradient of {name}"] = torch.as_tensor(weight.grad).clone()
            weight.data.sub_(torch.as_tensor(weight.grad), alpha=_RATE)
            weight.grad = None
        history.append(held | {name: weight.detach().clone() for name, weight in quantizer.named_parameters()})
    return history


def _rank(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=_RANKS)
    quantizer, z, features = torch.load(Path(folder, "start"), weights_only=False)  # written by the parent
    own = len(z) // _RANKS
    learned = _learn(quantizer, z.chunk(_RANKS)[rank], features.chunk(_RANKS)[rank], rank * own, len(z))
    torch.save(learned, Path(folder, f"end{rank}"))
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
