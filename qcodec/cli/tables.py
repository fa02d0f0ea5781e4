"""The command ``tables``."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qcodec.audio.folder import AUDIO_SUFFIXES
from qcodec.cli.file_batch import audio_seconds, find_sources
from qcodec.cli.model import add_model_arguments, open_model

if TYPE_CHECKING:
    from qcodec.bitstream.bitstream import Bitstream
    from qcodec.bitstream.codes import Codes

_DESCRIPTION = """\
Fit the frequencies that files are entropy-coded with to the codes of some recordings, and write the model with them.
Files get smaller the more a model's codes differ in frequency; they are then decoded with that model's file."""


def tables(arguments: Sequence[str]) -> None:
    """Fit tables and write a model's file with them.

    Raises:
        ValueError: For arguments that cannot be used, or a file that cannot be read; nothing is written then.
    """
    parser = argparse.ArgumentParser(prog="qcodec tables", description=_DESCRIPTION)
    parser.add_argument("input", type=Path, metavar="IN", help="audio file, or folder of audio files, to be fitted to")
    parser.add_argument(
        "output", type=Path, metavar="OUT", help="model's file to write, .safetensors or .pth; may be the one given"
    )
    add_model_arguments(parser)
    options = parser.parse_args(arguments)
    sources = find_sources(options.input, AUDIO_SUFFIXES)

    from qcodec.atomic_write import atomic_write
    from qcodec.bitstream.fitting import tables_to_tensors
    from qcodec.bitstream.tables import fit_tables
    from qcodec.codecs.model_file import read_model, write_model

    bitstream = open_model(options)
    fitted = fit_tables(_codes(bitstream, sources), bitstream.sizes, bitstream.per_frame)
    model = replace(read_model(options.checkpoint, options.trust), extras=tables_to_tensors(fitted))
    with atomic_write(options.output) as file:
        write_model(file, options.output.name, model)
    print(options.output)


def _codes(bitstream: "Bitstream", sources: Sequence[Path]) -> Iterator["Codes"]:
    from tqdm import tqdm

    from qcodec.audio.reading import open_recording
    from qcodec.bitstream.fitting import codes_to_fit
    from qcodec.bitstream.out_of_memory import fitting_memory

    with tqdm(total=round(audio_seconds(sources), 1), desc="fit", unit="s", disable=None, file=sys.stderr) as bar:
        for source in sources:
            with fitting_memory(bitstream, source):
                yield from codes_to_fit(bitstream, open_recording(source, bitstream.codec.sample_rate))
            bar.update(audio_seconds([source]))
