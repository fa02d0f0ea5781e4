"""Runs from Python and notebooks: the command ``fit`` as a function, and what a run folder holds as an object."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from qcodec.runs.read import read_table
from qcodec.runs.schema import CONFIG, DIVERGED, RunDescription, read_description

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qcodec.codecs.base import AudioCodec


@dataclass(frozen=True)
class LoadedRun:
    """A run folder.

    Attributes:
        path: The folder.
        description: What the run states of itself: its metrics, and what theory says of its data.
    """

    path: Path
    description: RunDescription

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings of the run, as plain data: a recipe that ``fit`` takes."""
        return dict(yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8")))

    @property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """What was logged so far: each column of ``metrics.csv`` as an array with an entry per step, NaN where empty.

        ``pandas.DataFrame(run.metrics)`` is a table of it.
        """
        return read_table(self.path)

    def figure(self, metric: str) -> "Figure":
        """Draw a metric of all systems over training, as in the report.

        Raises:
            ValueError: For a metric that was not logged; those that were are named.
        """
        from qcodec.figures.over_training import draw
        from qcodec.runs.read import read_run

        run = read_run(self.path)
        if metric not in run.metrics:
            raise ValueError(f"{metric!r} was not logged in {self.path}: there are {', '.join(run.metrics)}")
        alone = replace(run, metrics={name: run.metrics[name] for name in (metric, DIVERGED) if name in run.metrics})
        return next(draw(alone)).figure

    def report(self, *pairs: Sequence[str]) -> Path:
        """Write the run's report into its folder, as ``qcodec report``, and return the path of the page.

        Args:
            *pairs: Two names each of systems to compare seed by seed.
        """
        from qcodec.report.write import write_report

        return write_report([self.path], self.path, pairs)

    def codec(self, trust: Sequence[str] = ()) -> "AudioCodec":
        """Load the trained codec of a run on audio: ``encode(audio)`` gives codes, ``decode(codes)`` audio.

        Args:
            trust: Modules beside qcodec whose classes the codec is made of; their code is run.

        Raises:
            ValueError: For a run of surrogates, one without a checkpoint, or classes that are not trusted.
        """
        from qcodec.codecs.model_file import load_codec

        return load_codec(self.path, trust)


def load_run(path: str | Path) -> LoadedRun:
    """Return the run in a folder; it may still be going on.

    Raises:
        ValueError: For a folder that holds no run, or one of another version of qcodec.
    """
    folder = Path(path)
    return LoadedRun(folder, read_description(folder))


def fit(*recipes: str | Path | Mapping[str, Any], run_dir: str | Path | None = None, **overrides: Any) -> LoadedRun:
    """Train as the command ``qcodec fit`` does, and return the run.

    Args:
        *recipes: Short name or path of a recipe, or settings as plain data; each further one goes on top.
        run_dir: Folder for all that the run writes; ``runs/RECIPE/0``, ``1``, ... if left out.
        **overrides: Settings to change, by dotted names, such as ``**{"model.init_args.seeds": 3}``; values are plain
            data. ``ckpt_path`` resumes a run.

    Raises:
        ValueError: For a recipe or a setting that cannot be used, in one line.

    Example:
        >>> run = fit("surrogate/quickstart", trainer={"max_epochs": 1}, run_dir="run")  # doctest: +SKIP
        >>> run.metrics["ma_e/sq_ste"]  # doctest: +SKIP
        array([2.17])
    """
    from qcodec.cli.training import train

    words = [f"--config={_text(recipe)}" for recipe in recipes]
    words += [f"--{name}={_text(value)}" for name, value in overrides.items()]
    words += [] if run_dir is None else [f"--run_dir={run_dir}"]
    return load_run(train("fit", words))


def _text(value: Any) -> str:
    """Write plain data as a word of a command line."""
    if isinstance(value, str | Path):
        return str(value)
    try:
        return json.dumps(value)
    except TypeError as error:
        raise ValueError(f"{value!r} is no plain data: write an object as class_path and init_args") from error
