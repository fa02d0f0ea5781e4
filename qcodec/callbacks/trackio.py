"""Trackio as an equal of W&B, on this machine alone: curves, settings, sound and pictures."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from matplotlib.image import imread


class Trackio(Logger):
    """A logger to Trackio, whose dashboard is ``trackio show --project qcodec``; needs the extra ``trackio``.

    A resumed fit goes on in the run of the same name. Trackio keeps its files where ``TRACKIO_DIR`` says, in the cache
    of the Hugging Face hub without it.

    Args:
        save_dir: Folder of the run, which names it.
        project: Project that the run belongs to.
        name: Name of the run; the last two parts of the folder's path if left out.
        group: Group of the run.

    Raises:
        ImportError: Where Trackio is not installed.
    """

    def __init__(
        self, save_dir: str = ".", project: str = "qcodec", name: str | None = None, group: str | None = None
    ) -> None:
        super().__init__()
        try:
            import trackio
        except ImportError as error:
            raise ImportError(f"Trackio is not installed ({error}): pip install 'qcodec[trackio]'") from None
        self._trackio: Any = trackio
        self._project, self._group = project, group
        self._name = name or "/".join(Path(save_dir).resolve().parts[-2:])
        self._settings: dict[str, Any] = {}
        self._run: Any = None

    @property
    def name(self) -> str:
        """The project's name."""
        return self._project

    @property
    def version(self) -> str:
        """The run's name."""
        return self._name

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Trackio's run, which begins when it is first logged to."""
        if self._run is None:
            with redirect_stdout(io.StringIO()):  # how to open the dashboard, at every fit
                self._run = self._trackio.init(
                    self._project, self._name, self._group, config=self._settings, resume="allow", embed=False,
                    auto_log_gpu=False, auto_log_cpu=False,
                )  # fmt: skip
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Keep all settings of a fit, for its beginning."""
        self._settings = dict(params) if isinstance(params, Mapping) else vars(params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values by name."""
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def log_audio(
        self, key: str, audios: Sequence[Any], step: int | None = None, *, sample_rate: Sequence[int]
    ) -> None:
        """Log clips ``(L,)`` each with their rates in Hz."""
        whole = [np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16) for audio in audios]
        clips = zip(whole, sample_rate, strict=True)
        sounds = [self._trackio.Audio(audio, sample_rate=rate, format="wav") for audio, rate in clips]
        self.experiment.log({f"{key}/{number}": sound for number, sound in enumerate(sounds)}, step=step)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None) -> None:
        """Log figures of Matplotlib."""
        pictures = [self._trackio.Image(_pixels(figure)) for figure in images]
        names = [f"{key}/{number}" if len(images) > 1 else key for number in range(len(images))]
        self.experiment.log(dict(zip(names, pictures, strict=True)), step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left, and end Trackio's run, so that the process may begin another."""
        run, self._run = self._run, None
        if run is not None:
            with redirect_stdout(io.StringIO()):
                self._trackio.finish()


def _pixels(figure: Figure) -> Any:
    """Return a figure as ``(height, width, 3)`` bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return (imread(file)[..., :3] * 255).round().astype(np.uint8)
