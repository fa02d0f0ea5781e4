"""The model that files are written and read with."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qcodec.bitstream.settings import WINDOW

if TYPE_CHECKING:
    from qcodec.bitstream.stream import Bitstream


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model is used, and where."""
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="weight file that `qcodec export` or `dac` wrote"
    )
    add_device_arguments(parser)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a model works, and how much at once."""
    parser.add_argument("--device", help="such as cpu or cuda; a GPU where there is one, if left out")
    parser.add_argument(
        "--window", type=int, default=WINDOW, help=f"frames at once (default: {WINDOW}); fewer take less memory"
    )


def open_model(options: argparse.Namespace, constant: bool = False) -> "Bitstream":
    """Load the weight file that the options name to their device.

    Args:
        options: Of a parser with the model's arguments.
        constant: Whether every frame gets the same number of codebooks, whatever allocator the file names.

    Raises:
        ValueError: For a file that is no weight file, or a device that is not there or too small, or a window that is.
        OSError: Where the file cannot be opened.
    """
    import torch

    from qcodec.bitstream.model_tables import model_tables
    from qcodec.bitstream.stream import Bitstream
    from qcodec.codecs.dac.weights import load_dac
    from qcodec.quantizers.allocators import AllCodebooks

    codec = load_dac(options.checkpoint, allocator=AllCodebooks() if constant else None).eval()
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        codec.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return Bitstream(codec, model_tables(options.checkpoint), options.window)
