"""The command line: a front that loads nothing heavy until it is needed."""

import os
import sys
from collections.abc import Sequence

_USAGE = """\
usage: qcodec COMMAND ...

Try quantizers and gradient estimators on a surrogate neural codec, against the theoretical bound.

commands:
  fit --config RECIPE [--run_dir DIR]   train; RECIPE is a short name or the path of a YAML file
  validate | test | predict             the same for a trained checkpoint (--ckpt_path)
  export CKPT OUT [--config FILE]       write a trained codec as a weight file of the program `dac`
  encode IN OUT --checkpoint FILE       audio to .qc files, a file or a folder
  decode IN OUT --checkpoint FILE       .qc files to audio
  data libritts --subset S --root DIR   download speech to train on
  tables IN OUT --checkpoint FILE       fit entropy-coding tables to recordings, into a weight file
  report RUN... [--output DIR]          draw figures, summary.csv and report.html from run folders
  recipes [--path]                      list the recipes that come with qcodec, and what each claims

`qcodec COMMAND --help` tells more. QCODEC_TRACEBACK=1 shows where an error came from.
"""
_TRAINING = ("fit", "validate", "test", "predict")
_OTHERS = ("export", "encode", "decode", "tables", "data", "report", "recipes")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and give the exit status: 0 if all went well, 1 for an error told in one line, 130 for Ctrl-C.

    Args:
        args: Arguments after the program's name; those of the process if left out.
    """
    arguments = list(sys.argv[1:] if args is None else args)
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


def _dispatch(arguments: list[str]) -> int:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in ("-h", "--help"):
        print(_USAGE, end="")
    elif command == "--version":
        from importlib.metadata import version

        print(f"qcodec {version('qcodec')}")
    elif command == "recipes":
        from qcodec.cli.recipes import list_recipes

        list_recipes(rest)
    elif command == "report":
        from qcodec.cli.report import report

        report(rest)
    elif command == "data":
        from qcodec.cli.data import data

        data(rest)
    elif command == "export":
        from qcodec.cli.export import export

        export(rest)
    elif command == "encode":
        from qcodec.cli.encode import encode

        encode(rest)
    elif command == "tables":
        from qcodec.cli.tables import tables

        tables(rest)
    elif command == "decode":
        from qcodec.cli.decode import decode

        decode(rest)
    elif command in _TRAINING:
        from qcodec.cli.training import train

        train(command, rest)
    else:
        raise ValueError(f"{command!r} is no command: choose one of {', '.join([*_TRAINING, *_OTHERS])}")
    return 0
