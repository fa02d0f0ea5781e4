"""Checkpoints that are written whole or not at all."""

from pathlib import Path
from typing import Any, final

from lightning.fabric.plugins import CheckpointIO, TorchCheckpointIO

from qcodec.atomic_write import atomic_write
from qcodec.runs.checkpoint import write_torch


@final
class CheckpointFiles(CheckpointIO):
    """Writes each checkpoint beside its place, which takes one copy, and then moves it there at once.

    Lightning's own way collects it in memory, writes it to the system's folder for temporary files and moves it from
    there: where that is another disk this is a copy, and a process that is killed meanwhile spoils the last checkpoint.
    """

    def __init__(self) -> None:
        self._io = TorchCheckpointIO()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint to a file; to a URL such as ``s3://...`` and with options, in Lightning's way."""
        if "://" in str(path) or storage_options is not None:
            self._io.save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic_write(Path(path)) as file:
            write_torch(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint."""
        content: dict[str, Any] = self._io.load_checkpoint(path, map_location, weights_only)
        return content

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        self._io.remove_checkpoint(path)
