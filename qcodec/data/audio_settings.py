"""Settings of audio data: which files serve for what, and which crops are drawn."""

import math
from dataclasses import dataclass

_SECONDS = (0.01, 3600.0)  # a crop's: from about a frame of a codec to what no device holds a batch of


@dataclass(frozen=True)
class Subsets:
    """Which files serve for what, by the names of folders.

    Attributes:
        train: Folders to train on; ``.`` for the root itself.
        val: Folders to validate on; if empty, ``held_out`` of the training files.
        test: Folders to test on; if empty, those of validation, in other crops.
        held_out: Share of the training files that is kept for validation, chosen by a hash of the path.
        max_bad_share: Share of the files that may be unreadable, empty, silent or shorter than a training crop.

    Raises:
        ValueError: For a share outside of 0 to 1, and without folders to train on.
    """

    train: tuple[str, ...] = (".",)
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    held_out: float = 0.05
    max_bad_share: float = 0.1

    def __post_init__(self) -> None:
        for name in ("held_out", "max_bad_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"subsets.{name} is {getattr(self, name)}: give a share between 0 and 1")
        if not self.train:
            raise ValueError("subsets.train is empty: name a subset, or '.' for the root itself")


@dataclass(frozen=True)
class Crops:
    """Which crops are drawn, and how much memory makes drawing them fast; crops do not depend on it.

    Attributes:
        duration: Of a training crop, in seconds.
        val_duration: Of a crop for validation and test, in seconds; shorter files are left out there.
        val_crops: How many crops validation and test have each, rounded up to a multiple of the ranks.
        updates_per_epoch: Batches in an epoch of training.
        floor_lufs: Loudness that a crop should exceed, in LUFS.
        tries: Draws from one file for the sake of the floor.
        memory_gib: Memory for 16-bit wav and flac files of training, for each rank with its workers, in GiB; 0 to read
            each crop from its file.

    Raises:
        ValueError: For a value out of range.
    """

    duration: float = 0.38
    val_duration: float = 2.0
    val_crops: int = 100
    updates_per_epoch: int = 1000
    floor_lufs: float = -40.0
    tries: int = 8
    memory_gib: float = 1.0

    def __post_init__(self) -> None:
        for name in ("val_crops", "updates_per_epoch", "tries"):
            if getattr(self, name) <= 0:
                raise ValueError(f"crops.{name} is {getattr(self, name)}: give a value above 0")
        for name in ("duration", "val_duration"):
            if not _SECONDS[0] <= getattr(self, name) <= _SECONDS[1]:
                raise ValueError(f"crops.{name} is {getattr(self, name)}: give {_SECONDS[0]:g} to {_SECONDS[1]:g} s")
        if math.isnan(self.floor_lufs):
            raise ValueError(f"crops.floor_lufs is {self.floor_lufs}: give a loudness in LUFS, such as -40")
        if not 0 <= self.memory_gib < math.inf:
            raise ValueError(f"crops.memory_gib is {self.memory_gib}: give 0 or more")
