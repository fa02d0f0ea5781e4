"""The command ``check``."""

import argparse
import inspect
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcodec.cli.model import find_users_modules

if TYPE_CHECKING:
    from qcodec.conformance.question import Answer

_MARKS = {"yes": "yes", "no": "NO", "not asked": "-"}


def check(arguments: Sequence[str]) -> None:
    """Ask a part of one's own what every such part must answer, and print each answer.

    Raises:
        ValueError: Where it cannot be built.
        SystemExit: With status 1, where an answer is no.
    """
    parser = argparse.ArgumentParser(
        prog="qcodec check",
        allow_abbrev=False,
        usage="qcodec check PART [--NAME VALUE ...] [--embedding D] [--one_process]",
        description="Ask a quantizer, estimator, codebook, rate allocator, layer or audio codec what the rest of "
        "qcodec relies on: shapes, codes that decode to the same value, bits that cover the codes, gradients at ties, "
        "at zero error and in bf16, seeds that share nothing, a complete state, two ranks that learn as one, and more. "
        "Each answer is a line, with a remedy where it is no; the exit status is 1 then. PART is a class or a "
        "function, my_module.MyQuantizer, whose code runs, or a YAML file with class_path and init_args; further "
        "options are arguments of its constructor.",
    )
    parser.add_argument("part", metavar="PART", help="such as my_module.MyQuantizer or conf/quantizer/sq_mste.yaml")
    parser.add_argument("--embedding", type=int, metavar="D", help="channels of the embeddings, if not found by trying")
    parser.add_argument("--one_process", action="store_true", help="leave out the question that starts two ranks")
    options, further = parser.parse_known_args(arguments)
    find_users_modules()
    part = _built(options.part, further)

    from qcodec.conformance.check import check as ask

    said: list[Answer] = []
    name = type(part).__name__
    for checked in ask(part, channels=options.embedding, processes=not options.one_process):
        print(f"{name} {checked.place}".rstrip(), flush=True)
        for answer in checked.answers:
            said.append(answer)
            print(_line(answer), flush=True)
    broken = sum(answer.verdict == "no" for answer in said)
    held, rest = (sum(answer.verdict == verdict for answer in said) for verdict in ("yes", "not asked"))
    print(f"{held} hold, {broken} do not, {rest} not asked")
    if broken:
        raise SystemExit(1)


def _line(answer: "Answer") -> str:
    found = f": {answer.found}" if answer.found else ""
    remedy = f"\n       remedy: {answer.remedy}" if answer.remedy else ""
    return f"  {_MARKS[answer.verdict]:<4} {answer.question}{found}{remedy}"


def _built(part: str, further: Sequence[str]) -> Any:
    """Build the part that the command line names.

    Raises:
        ValueError: In one line, where that does not work.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    from qcodec.cli.config_errors import innermost

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(_kind(part), "part", required=True)
    words = [word.replace("--", "--part.", 1) if word.startswith("--") else word for word in further]
    try:
        return parser.instantiate(parser.parse_args(["--part", part, *words])).part
    except ArgumentError as error:
        if os.environ.get("QCODEC_TRACEBACK"):
            raise
        raise ValueError(innermost(str(error))) from None


def _kind(part: str) -> type:
    """Return the family of a class, or of what a function returns, by its path or by that in a YAML file.

    Raises:
        ValueError: Where there is none, or it is of no family.
    """
    import yaml

    from qcodec.conformance.check import kind_of

    path = part
    if part.endswith((".yaml", ".yml")):
        settings = yaml.safe_load(Path(part).read_text(encoding="utf-8"))
        path = str(settings.get("class_path")) if isinstance(settings, dict) else ""
    module, _, name = path.rpartition(".")
    if not module:
        raise ValueError(f"{part} names no class: give its path, such as my_module.MyQuantizer")
    try:
        found = getattr(import_module(module), name)
    except AttributeError as error:
        raise ValueError(f"{error}: check the spelling of the class") from None
    return kind_of(inspect.signature(found).return_annotation if inspect.isfunction(found) else found)
