"""The command ``sweep``."""

import argparse
import contextlib
import io
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcodec.sweeps.settings import Sweep

_DESCRIPTION = """\
Try settings of a recipe: all of a grid, or those that Optuna chooses. A sweep that was stopped goes on by the same
command, a trial whose worker was killed from its checkpoint. `qcodec report OUTPUT` draws it. Workers on other machines
share a --storage, such as postgresql://user@host/base, and the folder; --cluster starts them by submitit."""


def sweep(arguments: Sequence[str]) -> None:
    """Run a sweep.

    Raises:
        ValueError: For a file that is no sweep, another sweep in the folder, or a package that is missing.
    """
    options = _parser().parse_args(arguments)
    with _ended_by_sigterm():
        _run(options, arguments)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end what was begun, instead of this process alone."""

    def end(*_: Any) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, end) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    from qcodec.runs.recipes import SWEEP_FILE, recipes_folder
    from qcodec.sweeps.settings import read_sweep

    path = options.sweep if options.sweep.is_file() else recipes_folder().parent / options.sweep
    wanted = read_sweep(path if path.is_file() else options.sweep)
    folder: Path = options.output or Path("sweeps") / path.name.removesuffix(SWEEP_FILE).removesuffix(".yaml")
    _check_claim(path, folder)
    try:
        from qcodec.sweeps.study import open_study, work, write_table
    except ImportError as error:
        raise ValueError(f"sweeps need Optuna ({error}): pip install 'qcodec[sweep]'") from None
    base = _base(wanted, folder)
    if not (folder / "sweep.yaml").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "sweep.yaml")
    storage = options.storage or f"sqlite:///{folder.resolve()}/sweep.db"
    study = open_study(wanted, options.name or folder.resolve().name, storage, options.heartbeat)
    if options.cluster and not options.part:
        _on_cluster(arguments, options, folder)
    elif options.workers > 1 and not options.part:
        _beside(arguments, options.workers)
    else:
        work(wanted, base, study, folder)
    if options.part:
        return
    write_table(wanted, study, folder)
    print(f"{folder}: {_outcome(folder)}; next: qcodec report {folder}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qcodec sweep", description=_DESCRIPTION)
    parser.add_argument("sweep", type=Path, metavar="SWEEP.yaml", help="keys config, set, search, metric, seeds, ...")
    parser.add_argument("--output", type=Path, help="folder of the sweep (default: sweeps/SWEEP)")
    parser.add_argument("--workers", type=int, default=1, help="trials at once on this machine (default: 1)")
    parser.add_argument("--storage", help="URL of a database (default: SQLite in the folder)")
    parser.add_argument("--name", help="of the study in the storage (default: the folder's)")
    parser.add_argument("--heartbeat", type=int, default=30, help="seconds between signs of life (default: 30)")
    parser.add_argument("--cluster", choices=["slurm", "local"], help="start the workers as jobs")
    parser.add_argument(
        "--job", nargs="+", default=[], metavar="KEY=VALUE",
        help="of each job, as submitit calls it: timeout_min=600 gpus_per_node=1 slurm_partition=a100",
    )  # fmt: skip
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)  # a worker that another command began
    return parser


def _check_claim(path: Path, folder: Path) -> None:
    """Refuse the folder of another sweep."""
    kept = folder / "sweep.yaml"
    if kept.is_file() and kept.read_bytes() != path.read_bytes():
        raise ValueError(f"{folder} is another sweep's, or this one's before it was changed: choose another --output")


def _base(wanted: "Sweep", folder: Path) -> dict[str, Any]:
    """Return the whole recipe of a sweep, with what varies put in once, so that a wrong name is told before any fit."""
    import yaml

    from qcodec.atomic_write import atomic_write
    from qcodec.cli.training import train
    from qcodec.sweeps.settings import with_settings

    kept = folder / "base.yaml"
    if not (kept.is_file() and (folder / "sweep.yaml").is_file()):
        text = io.StringIO()
        words = [word for recipe in wanted.config for word in ("--config", recipe)]
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            train("fit", [*words, "--print_config"])
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept) as file:
            file.write(text.getvalue().encode())
    base: dict[str, Any] = yaml.safe_load(kept.read_text(encoding="utf-8"))
    with_settings(base, {**wanted.fixed, **dict.fromkeys((axis.setting for axis in wanted.axes), None)})
    return base


def _beside(arguments: Sequence[str], workers: int) -> None:
    """Work in processes of their own; Ctrl-C ends them too."""
    command = [sys.executable, "-m", "qcodec", "sweep", *arguments, "--workers", "1", "--part"]
    processes = [subprocess.Popen(command) for _ in range(workers)]
    try:
        ended = [process.wait() for process in processes]
    except BaseException:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        raise
    if all(ended):
        raise ValueError(f"every worker ended with an error (status {ended[0]}): it stands above")


def _on_cluster(arguments: Sequence[str], options: argparse.Namespace, folder: Path) -> None:
    try:
        import submitit
    except ImportError as error:
        raise ValueError(f"--cluster needs submitit ({error}): pip install 'qcodec[sweep]'") from None
    executor = submitit.AutoExecutor(folder=folder / "jobs", cluster=options.cluster)
    pairs = dict(word.partition("=")[::2] for word in options.job)
    executor.update_parameters(**{key: int(value) if value.isdecimal() else value for key, value in pairs.items()})
    command = [sys.executable, "-m", "qcodec", "sweep", *arguments, "--workers", "1", "--part"]
    with executor.batch():
        jobs = [executor.submit(subprocess.run, command, check=True) for _ in range(options.workers)]
    print(f"{options.workers} jobs, whose words are in {folder / 'jobs'}", flush=True)
    for job in jobs:
        job.result()


def _outcome(folder: Path) -> str:
    """Return in words how many trials ended how, and which is best."""
    import math

    from qcodec.runs.sweep_table import read_sweep_table

    table = read_sweep_table(folder)
    sign = 1 if table.direction == "minimize" else -1
    known = [(sign * value, row) for value, row in zip(table.values(), table.rows, strict=True) if math.isfinite(value)]
    diverged = sum(row["ended"] == "diverged" for row in table.rows)
    failed = sum(bool(row["ended"]) for row in table.rows) - diverged
    told = f"{len(table.rows)} trials, {diverged} diverged, {failed} failed"
    if not known:
        reasons = [row["ended"] for row in table.rows if row["ended"] not in ("", "diverged")]
        return f"{told}, none with a value{': ' + reasons[0] if reasons else ''}"
    value, best = min(known, key=lambda each: each[0])
    chosen = ", ".join(f"{name} {best[name]}" for name in table.settings)
    return f"{told}; best {table.metric} {sign * value:.4g} at {chosen}"
