"""Data parallelism of tasks that average their gradients themselves."""

from contextlib import AbstractContextManager, nullcontext

from lightning import Trainer
from lightning.pytorch.strategies import ParallelStrategy


def ranks_apart(trainer: Trainer) -> AbstractContextManager[None]:
    """Return a context in which backward passes do not synchronise the ranks, for gradients averaged once an update."""
    strategy = trainer.strategy
    return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()
