"""Recordings measured one after the other, or by several processes at once."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from qcodec.evaluation.file_codec import FileCodec, Level
from qcodec.evaluation.measure import Measured, measure
from qcodec.evaluation.quality import METRICS, QualityMetric

Task = tuple[Path, Sequence[Level]]
_codec: FileCodec | None = None  # of a worker
_metrics: Sequence[QualityMetric] = ()


def chosen(names: Sequence[str]) -> list[QualityMetric]:
    """Return metrics by name, or ``all``; the mel distance is always among them.

    Raises:
        ValueError: For a name that is none.
    """
    known = {metric.name: metric for metric in METRICS}
    for name in names:
        if name not in known and name != "all":
            raise ValueError(f"--metrics {name}: choose of all, {', '.join(known)}")
    return [metric for name, metric in known.items() if name in names or "all" in names or name == "mel"]


def measured(
    codec: FileCodec, open_again: Callable[[], FileCodec], tasks: Sequence[Task], names: Sequence[str], workers: int
) -> Iterator[Measured]:
    """Measure a codec on recordings at some levels each, in their order.

    Args:
        codec: The codec.
        open_again: Returns it in another process.
        tasks: Recordings with their levels.
        names: Of metrics.
        workers: Processes that measure at once; with 0 it is done here.
    """
    if workers == 0:
        metrics = chosen(names)
        yield from (found for path, levels in tasks for found in measure(codec, path, levels, metrics))
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    start = open_again, names, threads
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin_work, start) as pool:
        try:
            for found in pool.map(_work, tasks):
                yield from found
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin_work(open_codec: Callable[[], FileCodec], names: Sequence[str], threads: int) -> None:
    global _codec, _metrics
    torch.set_num_threads(threads)
    _codec, _metrics = open_codec(), chosen(names)


def _work(task: Task) -> list[Measured]:
    if _codec is None:
        raise RuntimeError("work began without a codec")
    path, levels = task
    return list(measure(_codec, path, levels, _metrics))
