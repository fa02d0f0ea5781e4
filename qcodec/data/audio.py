"""Data modules of speech and music in crops, for training a codec."""

import logging
import math
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

from lightning import LightningDataModule

from qcodec.audio.folder import AUDIO_SUFFIXES, files_below
from qcodec.data.audio_crops import CropSource, Floor, frames_needed
from qcodec.data.audio_index import AudioFile, AudioIndex, Fault, index_audio
from qcodec.data.audio_loader import BatchPlan, HeldOutLoader, TrainingLoader
from qcodec.data.audio_memory import AudioMemory
from qcodec.data.audio_report import AudioReport
from qcodec.data.audio_settings import Crops, Subsets
from qcodec.data.audio_transforms import CropTransform

_SUBSETS = (
    "dev-clean", "dev-other", "test-clean", "test-other", "train-clean-100", "train-clean-360", "train-other-500"
)  # fmt: skip
_log = logging.getLogger(__name__)
_HELD_OUT_BATCH = 4  # as many times the samples of a training batch: without gradients it takes less memory


class AudioCrops(LightningDataModule, ABC):
    """Serves crops ``(B, 1, L)`` of audio files for training, validation and test.

    The recipe of the Descript Audio Codec (arXiv 2306.06546, section 4.2): crops above a loudness floor, brought to one
    loudness, limited in their peak and shifted in phase. A subclass says where a data set keeps its subsets.

    Args:
        root: Folder that holds the audio.
        sample_rate: Of the crops, in Hz; files at other rates are resampled.
        batch_size: Crops in a training batch of one rank.
        subsets: Which files serve for what; ``usual_subsets`` if left out.
        crops: Which crops are drawn.
        transform: How the loudness, peak and phase of a crop are changed.
        seed: Of the random draws.
        workers: Processes that prepare batches for each rank; 0 to prepare them in the training process.

    Raises:
        ValueError: For settings out of range, folders that are missing, hold no audio or too many bad files, and
            files that would serve for both training and validation.
    """

    def __init__(
        self,
        root: str,
        sample_rate: int = 16000,
        batch_size: int = 16,
        subsets: Subsets | None = None,
        crops: Crops | None = None,
        transform: CropTransform | None = None,
        seed: int = 0,
        workers: int = 1,
    ) -> None:
        super().__init__()
        settings = {"sample_rate": (sample_rate, 1000), "batch_size": (batch_size, 1), "workers": (workers, 0)}
        for name, (value, least) in settings.items():
            if value < least:
                raise ValueError(f"data setting {name} is {value}: give {least} or more")
        self.root, self.sample_rate, self.batch_size = Path(root).expanduser(), sample_rate, batch_size
        self.subsets, self.crops, self.transform = (
            subsets or self.usual_subsets(),
            crops or Crops(),
            transform or CropTransform(),
        )
        self.seed, self.workers = seed, workers
        self._sources: dict[str, tuple[CropSource, AudioReport]] = {}

    @abstractmethod
    def usual_subsets(self) -> Subsets:
        """Return the subsets that are served where the settings name none."""

    @abstractmethod
    def corpus_folders(self) -> tuple[str, ...]:
        """Return the folders below the root that may hold a subset, the first choice first; ``""`` for the root."""

    def is_plain(self) -> bool:
        """Return whether the root is no such corpus at all, so that all of it is served, a share held out."""
        return False

    def prepare_data(self) -> None:
        """Index every folder, in one process."""
        self._serve_plain()
        for names in (self.subsets.train, self.subsets.val, self.subsets.test):
            self._index(names)

    def setup(self, stage: str) -> None:
        """Choose the files of each split."""
        self._serve_plain()
        for split in {"fit": ("train", "val"), "validate": ("val",)}.get(stage, ("test",)):
            self._prepared(split)

    def _serve_plain(self) -> None:
        if self.is_plain():
            share = self.subsets.held_out
            _log.warning(
                "%s has none of the subsets %s: all audio in it is served, %g of the files held out", self.root,
                ", ".join({**dict.fromkeys(self.subsets.train), **dict.fromkeys(self.subsets.val)}), share,
            )  # fmt: skip
            self.subsets = replace(self.subsets, train=(".",), val=(), test=())

    def train_dataloader(self) -> TrainingLoader:
        """Serve new crops in each epoch."""
        plan = self._plan(self.batch_size, self.crops.updates_per_epoch)
        loader = TrainingLoader(*self._prepared("train"), plan, self.workers)
        loader.trainer = self.trainer
        return loader

    def val_dataloader(self) -> HeldOutLoader:
        """Serve the same crops every time."""
        return self._held_out("val")

    def test_dataloader(self) -> HeldOutLoader:
        """Serve crops of the files for testing, the same every time."""
        return self._held_out("test")

    def predict_dataloader(self) -> HeldOutLoader:
        """Serve the crops for testing."""
        return self._held_out("test")

    def _held_out(self, split: str) -> HeldOutLoader:
        ranks = self.trainer.world_size if self.trainer else 1
        crops = -(-self.crops.val_crops // ranks)
        as_long = self.batch_size * self.crops.duration / self.crops.seconds(split)
        size = min(crops, max(1, int(_HELD_OUT_BATCH * as_long)))
        return HeldOutLoader(*self._prepared(split), self._plan(size, -(-crops // size)), self.workers)

    def _plan(self, size: int, batches: int) -> BatchPlan:
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return BatchPlan(size, batches, rank, ranks)

    def _prepared(self, split: str) -> tuple[CropSource, AudioReport]:
        if split not in self._sources:
            self._sources[split] = self._source(split)
        return self._sources[split]

    def _source(self, split: str) -> tuple[CropSource, AudioReport]:
        seconds = self.crops.seconds(split)
        floor = Floor(self.crops.floor_lufs, self.crops.tries)
        source = CropSource((), self.sample_rate, seconds, floor, self.transform, self.seed, split)
        index = self._split(split)
        rank, folder = (self.trainer.global_rank, self.trainer.default_root_dir) if self.trainer else (0, None)
        table = Path(folder, f"audio_{split}_rank{rank}.csv" if rank else f"audio_{split}.csv") if folder else None
        report = AudioReport(split, len(index.files) + len(index.faults), self.subsets.max_bad_share, table)
        report.quiet = rank != 0  # all ranks find the same at the start
        usable = [file for file in index.files if self._fits(file, self.crops.duration)]
        short = set(index.files) - set(usable)
        report.add([*index.faults, *(Fault(f.path, f"lasts {f.seconds:.2f} s, less than a crop") for f in short)])
        files = tuple(file for file in usable if self._fits(file, seconds))
        report.set_aside([file for file in usable if not self._fits(file, seconds)], seconds)
        report.note(files, self.sample_rate)
        if not files:
            raise ValueError(self._nothing_for(split, index, usable, seconds))
        report.quiet = False
        budget = int(self.crops.memory_gib * 2**30) if split == "train" else 0  # others have few crops, the same ones
        domains = self._domains(files) if split == "train" else ()
        return replace(source, files=files, memory=AudioMemory(files, budget), domains=domains), report

    def _domains(self, files: Sequence[AudioFile]) -> tuple[tuple[float, tuple[AudioFile, ...]], ...]:
        """Return the usable files of each training folder with its share of the crops."""
        total, domains = sum(self.subsets.shares.values()), []
        for name, share in self.subsets.shares.items():
            folder = self._folder(name)
            own = tuple(file for file in files if Path(file.path).is_relative_to(folder))
            if not own:
                raise ValueError(f"{folder} has no usable file, and a share of {share:g}: leave it out of subsets")
            domains.append((share / total, own))
        return tuple(domains)

    def _nothing_for(self, split: str, index: AudioIndex, usable: Sequence[AudioFile], seconds: float) -> str:
        count = len(index.files) + len(index.faults)
        if not count:
            return (
                f"there are 0 files for {split}, with subsets.held_out {self.subsets.held_out:g}: "
                f"add files to {self.root}, name folders in subsets.{split}, or hold out another share"
            )
        other = "test_duration" if split == "test" and self.crops.test_duration is not None else "val_duration"
        setting = "duration" if split == "train" or not usable else other
        return (
            f"none of {count} files for {split} is as long as a crop of {seconds:g} s: give longer ones, or set "
            f"crops.{setting} to less"
        )

    def _fits(self, file: AudioFile, seconds: float) -> bool:
        return file.frames >= frames_needed(int(seconds * self.sample_rate), file.sample_rate, self.sample_rate)

    def _split(self, split: str) -> AudioIndex:
        """Return the files of a split, none of which is in training as well."""
        train = self._index(self.subsets.train)
        names = self.subsets.test or self.subsets.val if split == "test" else self.subsets.val
        if not names:
            return self._part(train, held_out=split != "train")
        if split == "train":
            return train
        held_out = self._index(names)
        shared = {file.path for file in train.files} & {file.path for file in held_out.files}
        if shared:
            raise ValueError(f"{len(shared)} files serve for train and {split}, such as {min(shared)}: name others")
        return held_out

    def _index(self, names: tuple[str, ...]) -> AudioIndex:
        parts = [index_audio(self._folder(name)) for name in names]
        files = {file.path: file for part in parts for file in part.files}
        faults = {fault.path: fault for part in parts for fault in part.faults}
        if not files and not faults and names:
            raise ValueError(f"there are no {', '.join(AUDIO_SUFFIXES)} files in {self.root} for {', '.join(names)}")
        return AudioIndex(tuple(files.values()), tuple(faults.values()))

    def _folder(self, name: str) -> Path:
        for corpus in self.corpus_folders():
            if (self.root / corpus / name).is_dir():
                return (self.root / corpus / name).resolve()
        if not self.root.is_dir():
            raise ValueError(f"there is no folder {self.root}: set data.init_args.root to where the audio lies")
        there = sorted(path.name for path in self.root.iterdir() if path.is_dir())
        raise ValueError(f"{self.root} has no subset {name!r}; it has {', '.join(there) or 'no folders'}")

    def _part(self, index: AudioIndex, held_out: bool) -> AudioIndex:
        """Return the files whose path below the root has a hash in the held-out share, or the others.

        Of two files or more one at least is held out, and one not, however small the share.
        """
        share, long = self.subsets.held_out, [f for f in index.files if self._fits(f, self.crops.val_duration)]
        hashes = sorted(self._hash(file.path) for file in long or index.files)
        if 0 < share < 1 and len(index.files) > 1:
            share = max(share, math.nextafter(hashes[0], 1.0))
            share = min(share, max(self._hash(file.path) for file in index.files))

        def chosen(path: str) -> bool:
            return (self._hash(path) < share) == held_out

        files = tuple(file for file in index.files if chosen(file.path))
        return AudioIndex(files, tuple(fault for fault in index.faults if chosen(fault.path)))

    def _hash(self, path: str) -> float:
        name = os.path.relpath(path, self.root.resolve())
        return zlib.crc32(name.encode(errors="surrogateescape")) / 2**32


@final
class AudioFolder(AudioCrops):
    """Serves any folder of audio files: all of it, a share held out for validation, unless subfolders are named.

    Example:
        >>> AudioFolder("recordings").subsets.train
        ('.',)
    """

    def usual_subsets(self) -> Subsets:
        """Return the whole folder."""
        return Subsets()

    def corpus_folders(self) -> tuple[str, ...]:
        """Return the root."""
        return ("",)


@final
class LibriTTS(AudioCrops):
    """Serves LibriTTS (arXiv 1904.02882), LibriTTS-R or LibriSpeech by the names of their subsets.

    The subsets lie directly in the root, or in a folder of it that has the data set's name.

    Example:
        >>> LibriTTS("data").subsets.val
        ('test-clean',)
    """

    def usual_subsets(self) -> Subsets:
        """Return those of arXiv 2502.04770: dev-clean to train on, test-clean to validate on."""
        return Subsets(train=("dev-clean",), val=("test-clean",))

    def corpus_folders(self) -> tuple[str, ...]:
        """Return the root and the folders that the archives unpack into."""
        return ("", "LibriTTS", "LibriTTS_R", "LibriSpeech")

    def is_plain(self) -> bool:
        """Return whether the root holds audio but no subset of the corpora, and no folder of another name is asked."""
        named = {*self.subsets.train, *self.subsets.val, *self.subsets.test}
        if not named <= {*_SUBSETS} or any(
            (self.root / c / s).is_dir() for c in self.corpus_folders() for s in _SUBSETS
        ):
            return False
        return self.root.is_dir() and any(files_below(self.root))
