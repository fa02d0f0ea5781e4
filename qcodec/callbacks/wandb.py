"""Weights & Biases without a prompt: online with an account, offline without."""

import logging
import netrc
import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from qcodec.callbacks.wandb_members import Members, by_member, labels
from qcodec.runs.schema import CHECKPOINTS

_PATIENCE = 5.0  # seconds to wait for the server
_log = logging.getLogger(__name__)


class Wandb(WandbLogger):
    """Lightning's W&B logger, which here never waits for an answer, carries a resumed run on, and tells seeds apart.

    The mode is ``WANDB_MODE`` if set; else online where an API key is known (``WANDB_API_KEY`` or ``wandb login``) and
    the server can be reached; else offline, with the command that uploads the run later. Everything stays in the run
    folder.

    A fit has a run of its own, with all settings, the means of its systems, media, the figures of its report and the
    checkpoint. Each system and seed has another one in the same group, of the job type ``system and seed``, whose
    configuration says ``system``, ``seed``, ``quantizer``, ``estimator`` and ``losses``: grouped by ``system``, W&B
    draws their curves with bands over seeds.

    Args:
        save_dir: Folder for W&B's files.
        project: Project that the run belongs to.
        name: Name of the run; the last two parts of the folder's path if left out.
        group: Group of the fit's runs; their name if left out.
        tags: Tags of all of them.
        most_runs: Number of systems and seeds beyond which only the fit's own run is made: each takes about 0.1 s.
        artifact: Whether the last checkpoint is kept as an artifact, with the metrics that it has.
    """

    def __init__(
        self,
        save_dir: str = ".",
        project: str = "qcodec",
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        most_runs: int = 100,
        artifact: bool = True,
    ) -> None:
        mode = os.environ.get("WANDB_MODE") or ("online" if _has_account() and _is_reachable() else "offline")
        folder = Path(save_dir)
        if mode == "offline":
            os.environ.setdefault("WANDB_SILENT", "true")  # its remarks on settings that only matter online
            _tell(folder)
        name = name or "/".join(folder.resolve().parts[-2:])
        group = group or name
        super().__init__(
            name=name,
            save_dir=folder,
            project=project,
            version=_run_id(folder),
            mode=mode,
            group=group,
            tags=tags,
            job_type="fit",
            settings={"silent": True, "console": "off"},
        )
        self._wandb_init.pop("anonymous", None)  # W&B warns of it, whatever its value
        self._members = Members(self._wandb_init, group, most_runs if mode != "disabled" else 0)
        self._mode, self._artifact = mode, artifact

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, begun at the first use; offline where W&B refuses the account."""
        from wandb.errors import Error

        try:
            return super().experiment
        except Error as error:
            _log.warning("W&B is not available (%s)", " ".join(str(error).split())[:200])
            self._wandb_init["mode"] = "offline"
            _tell(Path(self.save_dir or "."))
            return super().experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Keep all settings of a fit, and what it is told apart by under short names."""
        super().log_hyperparams(params)
        if isinstance(params, Mapping):
            self._members.settings = params
            self.experiment.config.update(labels(params), allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log to the run of the fit, and what is of one system and seed to its own."""
        whole, members = by_member(metrics)
        if set(whole) - {"epoch"} or not members:
            super().log_metrics(whole, step)
        if members and self._mode != "disabled":
            _ = self.experiment  # which may find that it has to be offline
            self._members.log(members, step)

    def finalize(self, status: str) -> None:
        """Add the report's figures and the checkpoint, and end W&B's runs, so that the process may begin others."""
        super().finalize(status)
        run, self._experiment = self._experiment, None
        if run is None:
            return
        if status == "success" and self._mode != "disabled":
            add_results(run, Path(self.save_dir or "."), self._artifact)
        self._members.finish(int(status != "success"))
        run.finish(exit_code=int(status != "success"))


def add_results(run: Any, folder: Path, artifact: bool) -> None:
    """Add to W&B's run of a fit what its folder holds at the end: figures of the report, and the last checkpoint.

    Files are not copied: the artifact is the checkpoint as it stands when it is uploaded.
    """
    import wandb

    from qcodec.report.write import drawn_figures
    from qcodec.runs.read import read_run

    try:
        figures = list(drawn_figures(read_run(folder)))
    except ValueError as error:  # nothing logged, or no run folder
        _log.info("no figures for W&B: %s", error)
    else:
        run.log({f"report/{each.name}": wandb.Image(each.figure, caption=each.caption) for each in figures})
    checkpoint = folder / CHECKPOINTS / "last.ckpt"
    if artifact and checkpoint.is_file():
        numbers = {name: value for name, value in dict(run.summary).items() if isinstance(value, int | float)}
        kept = wandb.Artifact(f"{run.id}-checkpoint", type="model", metadata=numbers)
        kept.add_file(str(checkpoint), policy="immutable")
        run.log_artifact(kept, aliases=["last"])


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def _has_account() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlparse(_server()).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _is_reachable() -> bool:
    """Return whether the server answers at all, where no proxy stands between: W&B itself would try for minutes."""
    url = urlparse(_server())
    if getproxies():
        return True
    try:
        socket.create_connection((url.hostname or "", url.port or 443), _PATIENCE).close()
    except OSError as error:
        _log.warning("W&B is not reachable at %s (%s)", _server(), error)
        return False
    return True


@rank_zero_only
def _run_id(folder: Path) -> str:
    """Return the id of the folder's run, drawn when it begins and kept there."""
    path = folder / "wandb" / "run-id"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(uuid.uuid4().hex[:8], encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


@rank_zero_only
def _tell(folder: Path) -> None:
    _log.warning("W&B runs offline; upload the curves later with: wandb sync --append %s/wandb/offline-run-*", folder)
