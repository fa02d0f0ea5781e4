"""Settings of audio data: which files serve for what, and which crops are drawn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECONDS = (0.01, 3600.0)  # a crop's: from about a frame of a codec to what no device holds a batch of


@dataclass(frozen=True)
class Subsets:
    """Which files serve for what, by the names of folders.

    Attributes:
        train: Folders to train on; ``.`` for the root itself.
        val: Folders to validate on; if empty, ``held_out`` of the training files.
        test: Folders to test on; if empty, those of validation, in other crops.
        shares: How often crops are drawn from each folder of ``train``, in proportion, as domains of a mixture; if
            empty, from all files alike.
        held_out: Share of the training files that is kept for validation, chosen by a hash of the path.
        max_bad_share: Share of the files that may be unreadable, empty, silent or shorter than a training crop.

    Raises:
        ValueError: For a share outside of 0 to 1, and without folders to train on.
    """

    train: tuple[str, ...] = (".",)
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    held_out: float = 0.05
    max_bad_share: float = 0.1

    def __post_init__(self) -> None:
        for name in ("held_out", "max_bad_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"subsets.{name} is {getattr(self, name)}: give a share between 0 and 1")
        if not self.train:
            raise ValueError("subsets.train is empty: name a subset, or '.' for the root itself")
        if self.shares and set(self.shares) != set(self.train):
            named = f"subsets.shares is of {', '.join(self.shares)}, and subsets.train {', '.join(self.train)}"
            raise ValueError(f"{named}: name the same folders")
        for name, share in self.shares.items():
            if not 0 < share < math.inf:
                raise ValueError(f"subsets.shares.{name} is {share}: give a number above 0")


@dataclass(frozen=True)
class Crops:
    """Which crops are drawn, and how much memory makes drawing them fast; crops do not depend on it.

    Attributes:
        duration: Of a training crop, in seconds.
        val_duration: Of a crop for validation, in seconds; shorter files are left out there.
        test_duration: Of a crop for test; that for validation if left out.
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
    test_duration: float | None = None
    val_crops: int = 100
    updates_per_epoch: int = 1000
    floor_lufs: float = -40.0
    tries: int = 8
    memory_gib: float = 1.0

    def seconds(self, split: str) -> float:
        """Return the duration of a crop of ``train``, ``val`` or ``test``."""
        usual = self.test_duration if split == "test" else None
        return self.duration if split == "train" else self.val_duration if usual is None else usual

    def __post_init__(self) -> None:
        for name in ("val_crops", "updates_per_epoch", "tries"):
            if getattr(self, name) <= 0:
                raise ValueError(f"crops.{name} is {getattr(self, name)}: give a value above 0")
        for name in ("duration", "val_duration", "test_duration"):
            if (
                not _SECONDS[0]
                <= (self.val_duration if getattr(self, name) is None else getattr(self, name))
                <= _SECONDS[1]
            ):
                raise ValueError(f"crops.{name} is {getattr(self, name)}: give {_SECONDS[0]:g} to {_SECONDS[1]:g} s")
        if math.isnan(self.floor_lufs):
            raise ValueError(f"crops.floor_lufs is {self.floor_lufs}: give a loudness in LUFS, such as -40")
        if not 0 <= self.memory_gib < math.inf:
            raise ValueError(f"crops.memory_gib is {self.memory_gib}: give 0 or more")
