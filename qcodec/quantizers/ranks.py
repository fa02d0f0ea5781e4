"""What quantizers share over the ranks of a run; the number of ranks is asked for at each call."""

import torch
from torch import Tensor


def rank_count() -> int:
    """Return the number of ranks, 1 where there is one process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def over_ranks(value: Tensor) -> Tensor:
    """Return the sum over all ranks, in place."""
    if rank_count() > 1:
        torch.distributed.all_reduce(value)
    return value


def from_first_rank(value: Tensor) -> Tensor:
    """Return the first rank's value, in place."""
    if rank_count() > 1:
        torch.distributed.broadcast(value, src=0)
    return value


def summed_over_ranks(value: Tensor) -> Tensor:
    """Return the sum over all ranks; gradients pass through it to every rank's value."""
    if rank_count() == 1:
        return value
    from torch.distributed.nn import functional

    total: Tensor = functional.all_reduce(value)  # type: ignore[no-untyped-call]  # torch ships it without annotations
    return total
