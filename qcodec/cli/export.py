"""The command ``export``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qcodec.cli.model import MODEL_HELP, add_trust_argument, find_users_modules

_DESCRIPTION = """\
Write a trained codec as one file: as a weight file of the Descript Audio Codec where OUT ends in .pth, for
`dac.DAC.load` and `python -m dac encode --weights_path`, or as one of qcodec's own where it ends in .safetensors, for
any codec and quantizer. Nothing in the checkpoint is run."""


def export(arguments: Sequence[str]) -> None:
    """Write the file of a trained codec and say where it is.

    Raises:
        ValueError: For a checkpoint or a codec that cannot be exported; nothing is written then.
    """
    parser = argparse.ArgumentParser(prog="qcodec export", description=_DESCRIPTION)
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help=MODEL_HELP)
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write, such as mine.pth")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    add_trust_argument(parser)
    options = parser.parse_args(arguments)
    if not options.output.parent.is_dir():
        raise ValueError(f"there is no folder {options.output.parent}: make it first, or give another name")
    if options.output.exists() and not options.overwrite:
        raise ValueError(f"{options.output} exists: give another name, or --overwrite to replace it")

    from qcodec.atomic_write import atomic_write
    from qcodec.codecs.model_file import read_model, write_model

    if options.trust:
        find_users_modules()
    model = read_model(options.checkpoint, options.trust)
    with atomic_write(options.output) as file:
        write_model(file, options.output.name, model)
    print(options.output)
