"""The model that files are written and read with."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcodec.bitstream.stream import Bitstream


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model is used, and where."""
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="weight file that `qcodec export` or `dac` wrote"
    )
    parser.add_argument("--device", help="such as cpu or cuda; a GPU where there is one, if left out")


def open_model(options: argparse.Namespace, constant: bool = False) -> "Bitstream":
    """Load the weight file that the options name to their device.

    Args:
        options: Of a parser with the model's arguments.
        constant: Whether every frame gets the same number of codebooks, whatever allocator the file names.

    Raises:
        ValueError: For a file that is no weight file, or a device that is not there.
        OSError: Where the file cannot be opened.
    """
    import torch

    from qcodec.bitstream.model_tables import model_tables
    from qcodec.bitstream.stream import Bitstream
    from qcodec.codecs.dac_file import load_released
    from qcodec.quantizers.allocators import AllCodebooks

    codec = load_released(options.checkpoint, allocator=AllCodebooks() if constant else None).eval()
    try:
        codec.to(torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu")))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {options.device}: {str(error).splitlines()[0]}") from None
    return Bitstream(codec, model_tables(options.checkpoint))
