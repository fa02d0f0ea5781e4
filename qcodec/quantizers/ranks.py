"""What quantizers share over the ranks of a run; the number of ranks is asked for at each call."""

import torch
from torch import Tensor

from qcodec.random_streams import in_common


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


def place_among_ranks(count: int, device: torch.device) -> tuple[int, int]:
    """Return how many frames the ranks before this one have, and how many all have together."""
    if rank_count() == 1:
        return 0, count
    counts = torch.zeros(rank_count(), dtype=torch.long, device=device)
    counts[torch.distributed.get_rank()] = count
    every = over_ranks(counts).tolist()
    return sum(every[: torch.distributed.get_rank()]), sum(every)


def frames_of_all_ranks(frames: Tensor) -> Tensor:
    """Return the frames ``(n, d)`` of all ranks, those of the first rank first."""
    if rank_count() == 1:
        return frames
    first, total = place_among_ranks(len(frames), frames.device)
    every = frames.new_zeros(total, frames.shape[1])
    every[first : first + len(frames)] = frames
    return over_ranks(every)


def random_frames(frames: Tensor, count: int) -> Tensor:
    """Return frames ``(count, d)`` drawn from those of all ranks, the same on each; empty where there is none."""
    first, total = place_among_ranks(len(frames), frames.device)
    drawn = from_first_rank(in_common(lambda: torch.randint(max(1, total), (count,), device=frames.device)))
    if not total:
        return frames
    if rank_count() == 1:
        return frames[drawn]
    own = (drawn >= first) & (drawn < first + len(frames))
    chosen = frames.new_zeros(count, frames.shape[1])
    chosen[own] = frames[drawn[own] - first]
    return over_ranks(chosen)
