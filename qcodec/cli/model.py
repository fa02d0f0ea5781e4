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


def open_model(checkpoint: Path, device: str | None) -> "Bitstream":
    """Load a weight file to a device.

    Raises:
        ValueError: For a file that is no weight file, or a device that is not there.
        OSError: Where the file cannot be opened.
    """
    import torch

    from qcodec.bitstream.stream import Bitstream
    from qcodec.codecs.dac_file import load_released

    codec = load_released(checkpoint).eval()
    try:
        codec.to(torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return Bitstream(codec)
