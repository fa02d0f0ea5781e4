"""Weights & Biases without a prompt: online with an account, offline without."""

import logging
import netrc
import os
import socket
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

_PATIENCE = 5.0  # seconds to wait for the server
_log = logging.getLogger(__name__)


class Wandb(WandbLogger):
    """Lightning's W&B logger, which here never waits for an answer and carries a resumed run on.

    The mode is ``WANDB_MODE`` if set; else online where an API key is known (``WANDB_API_KEY`` or ``wandb login``) and
    the server can be reached; else offline, with the command that uploads the run later. Everything stays in the run
    folder.

    Args:
        save_dir: Folder for W&B's files.
        project: Project that the run belongs to.
        name: Name of the run; the last two parts of the folder's path if left out.
        group: Group of runs.
        tags: Tags of the run.
    """

    def __init__(
        self,
        save_dir: str = ".",
        project: str = "qcodec",
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        mode = os.environ.get("WANDB_MODE") or ("online" if _has_account() and _is_reachable() else "offline")
        folder = Path(save_dir)
        if mode == "offline":
            os.environ.setdefault("WANDB_SILENT", "true")  # its remarks on settings that only matter online
            _tell(folder)
        super().__init__(
            name=name or "/".join(folder.resolve().parts[-2:]),
            save_dir=folder,
            project=project,
            version=_run_id(folder),
            mode=mode,
            group=group,
            tags=tags,
            settings={"silent": True, "console": "off"},
        )

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

    def finalize(self, status: str) -> None:
        """End W&B's run, so that the process may begin another."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(status != "success"))
            self._experiment = None


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
