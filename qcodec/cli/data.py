"""The command ``data``."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def data(arguments: Sequence[str]) -> None:
    """Download data sets.

    Raises:
        ValueError: For an unknown subset.
        OSError: If it cannot be downloaded.
    """
    parser = argparse.ArgumentParser(prog="qcodec data", description="Download a data set.")
    sets = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    libritts = sets.add_parser("libritts", help="speech at 24 kHz, by openslr.org, CC BY 4.0")
    libritts.add_argument("--subset", action="append", required=True, help="such as dev-clean; may be repeated")
    libritts.add_argument("--root", type=Path, required=True, help="folder that will hold LibriTTS/SUBSET")
    options = parser.parse_args(arguments)

    from qcodec.data.download import download_libritts

    for subset in options.subset:
        print(f"{download_libritts(subset, options.root)}: train on it with --data.root {options.root}")
