"""Data parallelism of tasks that average their gradients themselves."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from lightning import Trainer
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn


def ranks_apart(trainer: Trainer) -> AbstractContextManager[None]:
    """Return a context in which backward passes do not synchronise the ranks, for gradients averaged once an update."""
    strategy = trainer.strategy
    return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()


def across_ranks(trainer: Trainer, value: Tensor, how: str = "mean") -> Tensor:
    """Return the mean of a value over all ranks, or what else ``how`` says, such as ``min``."""
    return torch.as_tensor(trainer.strategy.reduce(value, reduce_op=how)) if trainer.world_size > 1 else value


def average_gradients(trainer: Trainer, parameters: Iterable[nn.Parameter]) -> None:
    """Average all gradients over the ranks, in one message, as each message waits for every rank."""
    if trainer.world_size > 1:
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        mean = across_ranks(trainer, torch.cat([grad.flatten() for grad in grads]))
        for grad, part in zip(grads, torch.split(mean, [grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))
