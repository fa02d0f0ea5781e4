"""The command ``recipes``."""

import argparse
from collections.abc import Sequence

from qcodec.runs.recipes import all_recipes, claim, recipes_folder


def recipes(arguments: Sequence[str]) -> None:
    """Print every recipe with its claim, or the folder that they are in."""
    parser = argparse.ArgumentParser(prog="qcodec recipes", description="List the recipes and what each claims.")
    parser.add_argument(
        "--path", action="store_true", help="print the folder of the recipes instead; conf/ lies beside it"
    )
    if parser.parse_args(arguments).path:
        print(recipes_folder())
        return
    known = all_recipes()
    width = max(map(len, known), default=0)
    for name, path in known.items():
        print(f"{name:<{width}}  {claim(path)}")
