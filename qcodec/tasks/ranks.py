"""What tasks that average gradients themselves have in common."""

from contextlib import AbstractContextManager, nullcontext

from lightning import Trainer
from lightning.pytorch.strategies import ParallelStrategy


def ranks_apart(trainer: Trainer) -> AbstractContextManager[None]:
    """Keep backward passes from synchronising the ranks, for gradients that are averaged once an update."""
    strategy = trainer.strategy
    return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()
