"""Recipes that come with the package, found in a checkout and in an installed wheel."""

import difflib
from pathlib import Path

SWEEP_FILE = ".sweep.yaml"  # what the names of sweeps beside the recipes end in


def recipes_folder() -> Path:
    """Return the folder of the recipes: within the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_share" / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def all_recipes() -> dict[str, Path]:
    """Return the path of every recipe by its short name, such as ``surrogate/quickstart``."""
    folder = recipes_folder()
    paths = [path for path in sorted(folder.rglob("*.yaml")) if not path.name.endswith(SWEEP_FILE)]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def short_name(path: Path) -> str:
    """Return the short name of a recipe that comes with the package, or the name of another file without its ending."""
    names = {known.resolve(): short for short, known in all_recipes().items()}
    return names.get(path.resolve(), path.stem)


def find_recipe(name: str) -> Path:
    """Return the path of a recipe named by path or short name.

    A path that begins with ``conf/`` may also be that of a fragment that comes with the package.

    Raises:
        ValueError: Where there is none, with the nearest names.
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
    """Return the first line of a recipe's header comment, which says what the recipe shows."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
