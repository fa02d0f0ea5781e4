"""Pages of the site that are made of what the repository has: its READMEs, docstrings and the commands' help."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "index.md": "README.md",
    "recipes.md": "recipes/README.md",
    "leaderboard.md": "recipes/leaderboard/README.md",
    "quantizers.md": "qcodec/quantizers/README.md",
    "data.md": "qcodec/data/README.md",
    "files.md": "qcodec/bitstream/README.md",
    "kernels.md": "qcodec/kernels/README.md",
    "speed.md": "benchmarks/README.md",
    "contributing.md": ".github/CONTRIBUTING.md",
    "changelog.md": ".github/CHANGELOG.md",
}
MODULES = ("api", "rate")  # pages of one module; the other pages of the reference are folders
COMMANDS = (
    "fit", "validate", "test", "predict", "report", "sweep", "leaderboard", "dashboard", "check", "zoo", "recipes",
    "encode", "decode", "tables", "export", "evaluate", "bdrate", "data",
)  # fmt: skip
FIGURES = ROOT / ".github/figures"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for uri, source in PAGES.items():
        files.append(File.generated(config, uri, content=linked((ROOT / source).read_text(encoding="utf-8"), source)))
    for path in sorted(FIGURES.glob("*.png")):
        files.append(File.generated(config, f"figures/{path.name}", abs_src_path=str(path)))
    files.append(File.generated(config, "commands.md", content=commands()))
    for name in named(config["nav"]):
        files.append(File.generated(config, f"reference/{name}.md", content=reference(name)))
    return files


def named(nav: list[Any]) -> list[str]:
    (section,) = (entry["Reference"] for entry in nav if "Reference" in entry)
    return [Path(uri).stem for entry in section for uri in entry.values()]


def reference(name: str) -> str:
    """Return a page with everything public of a module, or of a folder's modules."""
    if name in MODULES:
        return f"# qcodec.{name}\n\n::: qcodec.{name}\n"
    modules = sorted(path for path in (ROOT / "qcodec" / name).rglob("*.py") if path.stem != "__init__")
    paths = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    return f"# qcodec.{name}\n\n" + "\n\n".join(f"::: {path}" for path in paths)


def commands() -> str:
    """Return the help of every command."""
    known = os.environ | {"COLUMNS": "100"}
    parts = ["# Commands\n"]
    for name in COMMANDS:
        call = [sys.executable, "-m", "qcodec", name, "--help"]
        told = subprocess.run(call, capture_output=True, text=True, check=True, env=known, cwd=ROOT).stdout
        parts.append(f"## qcodec {name}\n\n```text\n{told.strip()}\n```\n")
    return "\n".join(parts)


def linked(text: str, source: str) -> str:
    """Return a README whose links lead to pages of the site; what is not on it keeps its text alone."""
    pages = {path: uri for uri, path in PAGES.items()}

    def replaced(match: re.Match[str]) -> str:
        image, label, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match[0]
        path, _, anchor = target.partition("#")
        place = (ROOT / source).parent.joinpath(path).resolve()
        known = place.relative_to(ROOT).as_posix()
        if place.parent == FIGURES:
            return f"{image}[{label}](figures/{place.name})"
        if known in pages:
            return f"[{label}]({pages[known]}{'#' + anchor if anchor else ''})"
        return label

    text = re.sub(r"\[([AB])\]\s+\[", r"\\[\1\\] [", text)  # else the one is taken for the other's text
    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", replaced, text)
