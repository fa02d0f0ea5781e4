"""The recipes that come with the package, found from a checkout and from an installed wheel."""

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path


def recipes_folder() -> Path:
    """Give the folder of the recipes: within the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_share" / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def all_recipes() -> dict[str, Path]:
    """Give every recipe's path by its short name, such as ``surrogate/quickstart``."""
    folder = recipes_folder()
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def short_name(path: Path) -> str:
    """Give the short name of a recipe that comes with the package, or the file's name without its ending."""
    names = {known.resolve(): short for short, known in all_recipes().items()}
    return names.get(path.resolve(), path.stem)


def find_recipe(name: str) -> Path:
    """Give the path of a recipe named by path or short name; ``ValueError`` with the nearest names if there is none.

    A path that begins with ``conf/`` may also be that of a fragment that comes with the package.
    """
    known = all_recipes()
    for path in (Path(name), recipes_folder().parent / name):
        if path.is_file():
            return path
    short = name.removesuffix(".yaml").removeprefix("./").removeprefix("recipes/")
    if short in known:
        return known[short]
    near = difflib.get_close_matches(short, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "`qcodec recipes` lists those there are"
    raise ValueError(f"there is no recipe {name!r}, neither as a file nor by that name: {hint}")


def claim(path: Path) -> str:
    """Give the first line of a recipe's header comment."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def list_recipes(arguments: Sequence[str]) -> None:
    """Print every recipe with its claim, or the folder they are in."""
    parser = argparse.ArgumentParser(prog="qcodec recipes", description="List the recipes and what each claims.")
    parser.add_argument(
        "--path", action="store_true", help="print the folder of the recipes instead; conf/ lies beside it"
    )
    if parser.parse_args(arguments).path:
        print(recipes_folder())
        return
    recipes = all_recipes()
    width = max(map(len, recipes), default=0)
    for name, path in recipes.items():
        print(f"{name:<{width}}  {claim(path)}")
