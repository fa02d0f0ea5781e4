"""Mutates recipes and run folders, and looks for tracebacks and hangs.

    python benchmarks/mutations.py [--count 10000] [--first 0] [--kinds recipe run]

A recipe is changed in one to three places and trained for two updates in small; of a run folder a file is changed, and
a report is made of it. Each is a process of its own, forked after all is imported, with a limit of time and memory.
Whatever the change is, the command must end with success or in one line that says what is wrong. Changes come from the
seed alone; ``--first`` goes on where a former call ended.
"""

import argparse
import contextlib
import copy
import io
import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from qcodec.cli import main
from qcodec.cli.training import train
from qcodec.quantizers.catalogue import catalogue

LIMIT, MEMORY = 60.0, 8 << 30  # seconds, bytes
VALUES = [
    None, True, -1, 0, 1, 3, 2**31, 2**62, -(2**62), 10**400, 1e-300, 1e300, -0.5, math.nan, math.inf, "", "x",
    "x" * 3000, "0", "1e-3", "\N{SNOWMAN}", "../..", "/dev/null", [], [[]], [1, "a", None], {}, {"a": 1},
    {"class_path": "os.system"},
    {"class_path": "qcodec.STE"}, {"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 1}},
    {"class_path": 3}, {"init_args": {}}, [[[[[[]]]]]],
]  # fmt: skip
CELLS = ["", "nan", "inf", "-inf", "1e999", "-1", "0", "x", "1e-320", "1" * 400, '"']
SMALL = [
    "--trainer.max_steps=2", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--trainer.logger=false",
    "--trainer.accelerator=cpu",
]  # fmt: skip
SURROGATE = [
    "--data.init_args.updates_per_epoch=2", "--data.init_args.held_out_draws=1",
    "--data.init_args.source.init_args.frames=50",
]  # fmt: skip
RECIPES = ["surrogate/quickstart", "surrogate/sq_mste", "surrogate/paper"]


def places(tree, path=()):
    """Yield the paths of all nodes."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(tree, path):
    """Return what lies at a path, or as near to it as there is."""
    for key in path:
        with contextlib.suppress(LookupError, TypeError):
            tree = tree[key]
    return tree


def mutated(tree, draw):
    """Return a copy of a tree that is changed in one to three places, and what was changed."""
    tree, told = copy.deepcopy(tree), []
    for _ in range(draw.choice([1, 1, 2, 3])):
        every = list(places(tree))
        path = draw.choice(every)
        *inside, last = path
        node = tree
        for key in inside:
            node = node[key]
        how = draw.choice(["value", "value", "value", "delete", "rename", "elsewhere", "class"])
        if how == "delete":
            del node[last]
        elif how == "rename" and isinstance(node, dict):
            node[f"{last}x"] = node.pop(last)
        elif how == "elsewhere":
            other = tree
            for key in draw.choice(every):
                other = (
                    other[key]
                    if isinstance(other, dict | list)
                    and key in (other if isinstance(other, dict) else range(len(other)))
                    else other
                )
            node[last] = copy.deepcopy(other)
        elif how == "class":
            node[last] = {"class_path": f"qcodec.{draw.choice([each.name for each in catalogue()])}"}
        else:
            node[last] = draw.choice(VALUES)
        told.append((".".join(map(str, path)), how, repr(node.get(last) if isinstance(node, dict) else "")[:60]))
    return tree, told


def recipe_case(draw, folder, bases):
    """Return the command of a mutated recipe."""
    tree, told = mutated(bases[draw.randrange(len(bases))], draw)
    text = yaml.safe_dump(tree, sort_keys=False)
    if draw.random() < 0.1:  # a damaged file
        at = draw.randrange(len(text))
        text, told = (
            text[:at]
            + draw.choice(["", "\x00", "\t", "{", "*a", "&a ", "!!python/object:os.system x"])
            + text[at + 1 :],
            [("text", at)],
        )
    (folder / "recipe.yaml").write_text(text)
    return ["fit", "--config", "recipe.yaml", "--run_dir", "run", *SMALL, *SURROGATE], told


def run_case(draw, folder, original):
    """Return the command of a report on a mutated run folder."""
    shutil.copytree(original, folder / "run")
    name = draw.choice(["metrics.csv", "metrics.csv", "run.json", "run.json", "config.yaml"])
    path = folder / "run" / name
    if name == "metrics.csv":
        lines = [line.split(",") for line in path.read_text().splitlines()]
        told = []
        for _ in range(draw.choice([1, 2, 5])):
            row = draw.choice(lines)
            at = draw.randrange(len(row))
            row[at] = str(
                draw.choice(
                    [
                        "",
                        "nan",
                        "inf",
                        "-inf",
                        "1e999",
                        "-1",
                        "0",
                        "x",
                        "1e-320",
                        "1" * 400,
                        '"',
                        row[-1],
                        draw.choice(lines)[0],
                    ]
                )
            )
            told.append((lines.index(row), at, row[at][:20]))
            if draw.random() < 0.2:
                del row[at]
        text = "\n".join(",".join(row) for row in lines) + draw.choice(["\n", ""])
        path.write_bytes(text.encode() if draw.random() < 0.8 else flipped(text.encode(), draw))
    else:
        tree = json.loads(path.read_text()) if name == "run.json" else yaml.safe_load(path.read_text())
        tree, told = mutated(tree, draw)
        path.write_text(json.dumps(tree) if name == "run.json" else yaml.safe_dump(tree))
    return ["report", "run", "--output", "out"], [name, *told]


def flipped(content, draw):
    """Return bytes of which some are others."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 3, 20])):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def ended(command, folder, pipe):
    """Run a command in a forked process and send how it ended."""
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ.pop("QCODEC_TRACEBACK", None)
    out = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(out):
        try:
            status = main(command)
        except SystemExit as error:
            status = f"SystemExit {error.code}"
        except BaseException as error:  # what the command line would show as a traceback
            import traceback

            status = f"{type(error).__name__}: {str(error)[:150]} @ {traceback.extract_tb(error.__traceback__)[-1]}"
    pipe.send((status, out.getvalue()[-300:]))
    pipe.close()
    os._exit(0)


def judge(command, folder):
    """Return ``ok``, ``refused``, or what went wrong."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=ended, args=(command, folder, theirs))
    begun = time.monotonic()
    process.start()
    theirs.close()
    try:
        status, text = ours.recv() if ours.poll(LIMIT) else ("hang", "")
    except EOFError:
        status, text = f"killed {process.exitcode}", ""
    if status == "hang":
        process.kill()
    process.join()
    if status in (0, 1):
        return ("ok" if status == 0 else "refused"), time.monotonic() - begun, text
    return str(status), time.monotonic() - begun, text


def main_loop():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=["recipe", "run"], choices=["recipe", "run"])
    options = parser.parse_args()
    os.environ["WANDB_MODE"] = "disabled"
    with tempfile.TemporaryDirectory() as place:
        bases = []
        for name in RECIPES:
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
                train("fit", ["--config", name, "--print_config"])
            bases.append({key: value for key, value in yaml.safe_load(text.getvalue()).items() if value is not None})
        original = Path(place, "original")
        small = [word for word in SMALL if "steps" not in word and "epochs" not in word]
        main(["fit", "--config", "surrogate/quickstart", "--run_dir", str(original), *small, *SURROGATE,
              "--trainer.max_epochs=2", "--model.init_args.seeds=2", "--quiet"])  # fmt: skip
        shutil.rmtree(original / "checkpoints", ignore_errors=True)
        counts, wrong = Counter(), 0
        for number in range(options.first, options.first + options.count):
            draw, folder = random.Random(number), Path(place, str(number))
            folder.mkdir()
            kind = options.kinds[number % len(options.kinds)]
            command, told = recipe_case(draw, folder, bases) if kind == "recipe" else run_case(draw, folder, original)
            verdict, seconds, text = judge(command, folder)
            counts[kind, verdict if verdict in ("ok", "refused") else "wrong"] += 1
            if verdict not in ("ok", "refused"):
                wrong += 1
                print(
                    f"{number} {kind} {told}\n    {verdict} after {seconds:.1f} s {' '.join(text.split())[-160:]}",
                    flush=True,
                )
            shutil.rmtree(folder, ignore_errors=True)
        for (kind, verdict), count in sorted(counts.items()):
            print(f"{kind}: {count} {verdict}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main_loop()
