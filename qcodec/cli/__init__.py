"""The command line: a front that loads nothing heavy until it is needed.

The small commands keep argparse. ``jsonargparse.auto_cli`` over typed functions was tried: ``qcodec recipes`` takes
0.16 s of CPU time with it instead of 0.04 s, and it cannot express these options: a switch becomes ``--path true``, a
repeated option or several runs become ``[a,b]``, and each help page gains ``--config`` and types in Python's notation.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

_USAGE = """\
usage: qcodec COMMAND ...

Try quantizers and gradient estimators on a surrogate neural codec, against the theoretical bound; then train them in a
real one, and use it.

commands:
  fit --config RECIPE [--run_dir DIR]   train; RECIPE is a short name or the path of a YAML file
  validate | test | predict             the same for a trained checkpoint (--ckpt_path)
  export CKPT OUT                       write a trained codec as one file, .safetensors, or .pth of the program `dac`
  encode IN OUT --checkpoint FILE       audio to .qc files, a file or a folder
  decode IN OUT --checkpoint FILE       .qc files to audio
  data libritts --subset S --root DIR   download speech to train on
  evaluate AUDIO --checkpoint FILE...   mel distance against kbps, from the sizes of real files
  bdrate CSV MODEL                      rate saved at equal quality, with intervals, from what `evaluate` wrote
  tables IN OUT --checkpoint FILE       fit entropy-coding tables to recordings, into a model's file
  report RUN... [--output DIR]          draw figures, summary.csv and report.html from run folders
  sweep SWEEP.yaml [--workers N]        try settings of a recipe: a grid, or a search by Optuna
  leaderboard add RUN... | build        add a run's systems to the leaderboard; write its page
  dashboard RUN... [--entity NAME]      build a W&B workspace and report of runs, as JSON or in an account
  recipes [--path]                      list the recipes that come with qcodec, and what each claims
  zoo [NAME...] [--markdown]            list the quantizers, estimators, codebooks and rate allocators
  check PART                            ask a quantizer of your own, or a part of one, what it must answer

FILE is a run's folder, its checkpoint, or what `export` wrote. `qcodec COMMAND --help` tells more,
`qcodec fit --config RECIPE --help` the recipe's settings.
QCODEC_TRACEBACK=1 shows where an error came from.
"""
_TRAINING = ("fit", "validate", "test", "predict")
# each a module of this package, with a function of that name
_OTHERS = (
    "recipes",
    "export",
    "encode",
    "decode",
    "tables",
    "evaluate",
    "data",
    "report",
    "leaderboard",
    "sweep",
    "dashboard",
    "zoo",
    "check",
    "bdrate",
)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 if all went well, 1 for an error told in one line, 130 for Ctrl-C.

    Args:
        args: Arguments after the program's name; those of the process if left out.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if args is None:
        _wait_briefly()
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        print("qcodec: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("QCODEC_TRACEBACK"):
            raise
        print(f"qcodec: error: {' '.join(str(error).split())}", file=sys.stderr)
        print("(QCODEC_TRACEBACK=1 shows where it came from)", file=sys.stderr)
        return 1


def _wait_briefly() -> None:
    """Set how long waiting threads keep their core: microseconds instead of a millisecond.

    Two commands can then share the cores: with the default of GNU's OpenMP, which PyTorch brings, each spins while the
    thread that it waits for is not running, and both take up to thirty times longer. Alone, a fit loses a tenth. It
    works only before PyTorch is loaded; a user's own setting stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _dispatch(arguments: list[str]) -> int:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in ("-h", "--help"):
        print(_USAGE, end="")
    elif command == "--version":
        from importlib.metadata import version

        print(f"qcodec {version('qcodec')}")
    elif command in _OTHERS:
        getattr(import_module(f"qcodec.cli.{command}"), command)(rest)
    elif command in _TRAINING:
        from qcodec.cli.training_help import print_help, wants_help

        if wants_help(rest):
            print_help(command, rest)
            return 0
        rest = ["--help" if word == "--help.trainer" else word for word in rest]
        from qcodec.cli.training import train

        train(command, rest)
    else:
        raise ValueError(f"{command!r} is no command: choose one of {', '.join([*_TRAINING, *_OTHERS])}")
    return 0
