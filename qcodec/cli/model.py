"""The model that files are written and read with."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qcodec.bitstream.settings import WINDOW

if TYPE_CHECKING:
    from qcodec.bitstream.bitstream import Bitstream

MODEL_HELP = "run folder or its checkpoint, file that `qcodec export` wrote, or weight file of `dac`"


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model is used, and where."""
    parser.add_argument("--checkpoint", type=Path, required=True, help=MODEL_HELP)
    add_device_arguments(parser)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say whose code may run, where a model works, and how much at once."""
    add_trust_argument(parser)
    parser.add_argument("--device", help="such as cpu or cuda; a GPU where there is one, if left out")
    parser.add_argument(
        "--window", type=int, default=WINDOW, help=f"frames at once (default: {WINDOW}); fewer take less memory"
    )


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that names modules whose classes a model may be made of."""
    parser.add_argument(
        "--trust", action="append", default=[], metavar="MODULE",
        help="let the code of this module run, where the model is made of its classes; may be repeated",
    )  # fmt: skip


def find_users_modules() -> None:
    """Add the current folder to the modules that can be imported, such as that of a user's quantizer."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # at the end: a file there hides no module that is installed


def open_model(options: argparse.Namespace, constant: bool = False) -> "Bitstream":
    """Load the model that the options name to their device.

    Args:
        options: Of a parser with the model's arguments.
        constant: Whether every frame gets the same number of codes, whatever allocator the model has.

    Raises:
        ValueError: For a file that is no model, or a device that is not there or too small, or a window that is.
        OSError: Where the file cannot be opened.
    """
    import torch

    from qcodec.bitstream.bitstream import Bitstream
    from qcodec.bitstream.fitting import tables_from_tensors
    from qcodec.codecs.model_file import read_model
    from qcodec.quantizers.allocators import AllCodebooks

    if options.trust:
        find_users_modules()
    model = read_model(options.checkpoint, options.trust)
    codec = model.codec
    try:
        tables = tables_from_tensors(model.extras)
        if constant:
            codec.quantizer = codec.quantizer.with_allocator(AllCodebooks())
            tables = None if tables is None else tables.constant(len(tables.codes))
    except ValueError as error:
        raise ValueError(f"{options.checkpoint} {error}") from None
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        codec.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return Bitstream(codec, tables, options.window)
