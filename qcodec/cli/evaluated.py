"""What ``qcodec evaluate`` is told to measure, by words of its command line."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from qcodec.cli.model import find_users_modules, open_model
from qcodec.evaluation.anchors import ANCHORS, Anchor
from qcodec.evaluation.file_codec import FileCodec
from qcodec.evaluation.own import OwnCodec
from qcodec.evaluation.peers import EnCodec, Snac, StockDac

PEERS: dict[str, Callable[[Path], FileCodec]] = {"dac": StockDac, "encodec": EnCodec, "snac": Snac}


@dataclass(frozen=True)
class Source:
    """A codec to measure.

    Attributes:
        name: In the table.
        kind: ``model``, ``anchor`` or ``codec``.
        words: The model's file, the anchor's name, or what stands after ``--codecs``.
    """

    name: str
    kind: str
    words: str

    def open(self, options: argparse.Namespace, sample_rate: int) -> FileCodec:
        """Return the codec; an anchor's is of a sampling rate in Hz.

        Raises:
            ValueError: For what is none, with the remedy.
            OSError: Where a file cannot be opened.
        """
        if self.kind == "model":
            return OwnCodec(open_model(argparse.Namespace(**vars(options) | {"checkpoint": Path(self.words)})))
        return Anchor(self.words, sample_rate) if self.kind == "anchor" else _codec(self.words)

    def identity(self, codec: FileCodec) -> str:
        """Return what a measurement of it depends on: its words, its rate, and its file as it stands."""
        path = Path(self.words.rpartition("=")[2])
        path = path / "checkpoints/last.ckpt" if (path / "checkpoints/last.ckpt").is_file() else path
        stands = path.stat() if path.exists() else None
        of_file = f", {stands.st_size} bytes of {stands.st_mtime_ns}" if stands else ""
        return f"{self.kind} {self.words} at {codec.sample_rate} Hz{of_file}"


def sources(checkpoints: Sequence[Path], codecs: Sequence[str], anchors: Sequence[str]) -> list[Source]:
    """Return what is to be measured, models first, under names that differ.

    Raises:
        ValueError: For an unknown anchor, a file that is not there, or nothing.
    """
    for path in checkpoints:
        if not path.exists():
            raise ValueError(f"{path} does not exist: name a model")
    for name in anchors:
        if name not in ANCHORS:
            raise ValueError(f"--anchors {name}: choose of {', '.join(ANCHORS)}")
    if not checkpoints and not codecs:
        raise ValueError("there is no codec to measure: give --checkpoint or --codecs")
    named = [("model", str(path)) for path in checkpoints]
    named += [("codec", words) for words in codecs] + [("anchor", name) for name in anchors]
    short = model_names(checkpoints) + [words.partition("=")[0].rpartition(".")[2] for words in (*codecs, *anchors)]
    names = [name if short.count(name) == 1 else words for name, (_, words) in zip(short, named, strict=True)]
    return [Source(name, kind, words) for name, (kind, words) in zip(names, named, strict=True)]


def model_names(checkpoints: Sequence[Path]) -> list[str]:
    """Return short names of models: the file's or run's own, or the whole path where two are alike.

    Example:
        >>> model_names([Path("runs/mste/checkpoints/last.ckpt"), Path("ste.pth")])
        ['mste', 'ste']
    """
    short = [
        p.parents[1].name if p.parent.name == "checkpoints" and len(p.parents) > 2 else p.stem for p in checkpoints
    ]
    return [name if short.count(name) == 1 else str(path) for name, path in zip(short, checkpoints, strict=True)]


def _codec(words: str) -> FileCodec:
    name, equals, argument = words.partition("=")
    if name in PEERS:
        if not equals or not Path(argument).exists():
            raise ValueError(f"--codecs {words}: give its weights, such as {name}=PATH")
        return PEERS[name](Path(argument))
    find_users_modules()
    module, _, of_module = name.rpartition(".")
    try:
        kind: Any = getattr(import_module(module), of_module)
    except (ImportError, AttributeError, ValueError) as error:
        choose = f"choose of {', '.join(PEERS)}, or a class such as my_module.MyCodec"
        raise ValueError(f"--codecs {words}: {choose} ({error})") from None
    codec = kind(*[argument] * bool(equals))
    if not isinstance(codec, FileCodec):
        raise ValueError(f"--codecs {words}: {of_module} is no qcodec.FileCodec")
    return codec
