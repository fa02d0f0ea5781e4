"""The command ``export``."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_DESCRIPTION = """\
Write the codec of a trained checkpoint as a weight file of the Descript Audio Codec, for `dac.DAC.load` and
`python -m dac encode --weights_path`. The model is built from the config.yaml that the run wrote beside its
checkpoints; nothing in the checkpoint is run."""


def export(arguments: Sequence[str]) -> None:
    """Write the weight file of a checkpoint and say where it is.

    Raises:
        ValueError: For a checkpoint, settings or a codec that cannot be exported; nothing is written then.
    """
    parser = argparse.ArgumentParser(prog="qcodec export", description=_DESCRIPTION)
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="such as RUN/checkpoints/last.ckpt")
    parser.add_argument("output", type=Path, metavar="OUT", help="the weight file to write, such as weights.pth")
    parser.add_argument("--config", type=Path, help="settings of the run, where its config.yaml is not beside it")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    options = parser.parse_args(arguments)
    if not options.output.parent.is_dir():
        raise ValueError(f"there is no folder {options.output.parent}: make it first, or give another name")
    if options.output.exists() and not options.overwrite:
        raise ValueError(f"{options.output} exists: give another name, or --overwrite to replace it")

    from qcodec.atomic_write import atomic_write
    from qcodec.codecs.dac.weights import export_dac
    from qcodec.runs.checkpoint import read_checkpoint

    state = read_checkpoint(options.checkpoint)["state_dict"]
    config = options.config or _config_beside(options.checkpoint)
    codec = _codec(config, state, options.checkpoint)
    with atomic_write(options.output) as file:
        export_dac(codec, file)
    print(options.output)


def _config_beside(checkpoint: Path) -> Path:
    from qcodec.runs.folder import run_of

    path = run_of(checkpoint) / "config.yaml"
    if not path.is_file():
        raise ValueError(f"there is no {path}: give the settings of the checkpoint's run with --config")
    return path


def _codec(config: Path, state: Mapping[str, Any], checkpoint: Path) -> Any:
    """Build the codec that the settings describe and give it the weights that the checkpoint holds for it."""
    from qcodec.codecs.dac.codec import DacCodec

    codec = _build(config)
    if not isinstance(codec, DacCodec):
        raise ValueError(f"{config} describes a {type(codec).__name__}, but only a DacCodec has a weight file of `dac`")
    weights = {name.removeprefix("codec."): value for name, value in state.items() if name.startswith("codec.")}
    try:
        codec.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the weights in {checkpoint} are not of the codec in {config}: {reason}") from None
    return codec


def _build(config: Path) -> Any:
    import yaml
    from jsonargparse import ArgumentError, ArgumentParser

    from qcodec.cli.config_errors import innermost
    from qcodec.codecs.base import Codec

    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{config} is no valid YAML: {error}") from None
    try:
        settings = content["model"]["init_args"]["codec"]
    except (TypeError, KeyError):
        raise ValueError(
            f"{config} names no codec under model.init_args.codec, as a surrogate's settings do not: "
            "give the run of an audio codec"
        ) from None
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a user's quantizer lies beside the recipe that names it
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--codec", type=Codec, required=True)
    try:
        return parser.instantiate(parser.parse_object({"codec": settings})).codec
    except (ArgumentError, ValueError) as error:
        raise ValueError(f"{config}: {innermost(str(error))}") from error
