"""Every command and every piece of code in a README works.

Commands in a README, in fenced blocks and inline, must parse. Blocks of ``bash`` and ``python`` run, one after the
other in one folder with recordings in ``D``, and so does the new side of a ``diff``. HTML comments before a block
change that:

* ``<!-- file: NAME -->``: it is written to the file NAME, which what follows uses;
* ``<!-- long: COMMAND -->``: it takes too long, and COMMAND runs instead (several are joined by ``&&``);
* ``<!-- before: CODE -->``: Python code that runs before it, such as what defines a reader's own names;
* ``<!-- instead: A => B -->``: B stands for A when it runs, such as a smaller size.
"""

import argparse
import contextlib
import importlib
import re
import runpy
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from audio_files import write_noise

from qcodec.cli import main
from qcodec.cli.training import RunFolderCLI
from qcodec.runs.recipes import all_recipes, find_recipe

ROOT = Path(__file__).parents[1]
FOLDERS = [
    ROOT,
    *(ROOT / name for name in ("recipes", "recipes/leaderboard", "benchmarks", "notebooks", ".github")),
    ROOT / "qcodec",
]
FILES = sorted(
    file for folder in FOLDERS for file in (folder.rglob if folder.name == "qcodec" else folder.glob)("*.md")
)
COMMENT = r"<!-- (?:(?!-->).)*-->\s*"
BLOCK = re.compile(rf"^((?:{COMMENT})*)```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"(R|my_\w+)(/config)?\.yaml|R/config\.yaml")

RECIPES = all_recipes()
COMMANDS = {"fit", "validate", "test", "predict", *(file.stem for file in (ROOT / "qcodec/cli").glob("*.py"))}
# what a fit is run without here, as figures take time
BARE = ["--trainer.callbacks=null", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
CHECKED: set[tuple[str, ...]] = set()  # a command in several files is checked once

of_each_file = pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROOT)) for file in FILES])


@dataclass(frozen=True)
class Block:
    line: int
    marks: list[tuple[str, str]]
    language: str
    text: str

    def marked(self, kind):
        return [content for name, content in self.marks if name == kind]

    def code(self):
        """Return the block as it runs: with what stands in the place of something else, of a diff the new side."""
        text = self.text
        for pair in self.marked("instead"):
            old, _, new = pair.partition(" => ")
            assert old in text, f"line {self.line}: {old!r} is not in the block"
            text = text.replace(old, new)
        if self.language == "diff":
            return "".join(line[1:] for line in text.splitlines(keepends=True) if not line.startswith("-"))
        return text


class Parsed(Exception):  # noqa: N818 - it ends a command early
    """Raised where a command has understood its arguments."""


def blocks(file):
    text = file.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        comments, language, body = match.groups()
        marks = re.findall(r"<!-- (\w+): (.*?) -->", comments, re.DOTALL)
        yield Block(text[: match.start(2)].count("\n") + 1, marks, language, body)


def commands(text):
    """Return the words of each command of a shell script."""
    lines = text.replace("\\\n", " ").splitlines()
    words = [shlex.split(part, comments=True) for line in lines for part in re.split(r"&&|\||;", line)]
    return [command for command in words if command]


def inline_commands(file):
    prose = BLOCK.sub("", file.read_text(encoding="utf-8"))
    return [
        command
        for text in re.findall(r"`((?:qcodec|python) [^`]+)`", prose)
        for command in commands(" ".join(text.split()))
    ]


@pytest.fixture
def recordings(tmp_path):
    for subset in ("train-clean-100", "test-other", "dev-clean", "test-clean"):
        write_noise(tmp_path / "D" / subset / f"{subset}.wav", seconds=0.4)


@pytest.fixture
def only_parsing(monkeypatch):
    """Let every command end where it has understood its arguments."""

    def ending(parse):
        def parsed(*arguments, **named):
            parse(*arguments, **named)
            raise Parsed

        return parsed

    for owner, name in ((argparse.ArgumentParser, "parse_args"), (RunFolderCLI, "parse_arguments")):
        monkeypatch.setattr(owner, name, ending(getattr(owner, name)))


@pytest.fixture
def of_the_reader(monkeypatch, tmp_path):
    """Return what writes the files that a README has its reader write, to a folder that modules are found in."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(file):
        for block in blocks(file):
            for name in block.marked("file"):
                (tmp_path / name).write_text(block.code(), encoding="utf-8")

    return write


def check(words):
    """Raise where there is no such command, or it has no such argument; prose may name a command alone."""
    if words[0] == "qcodec" and len(words) == 2:
        assert words[1] in COMMANDS or words[1].startswith("--")
    elif words[:3] == ["qcodec", "fit", "--config"] and words[3] in RECIPES and words[4:5] in ([], ["--run_dir"]):
        assert len(words) in (4, 6)  # parsing takes seconds, and every recipe is parsed by test_recipes.py
    elif words[0] == "qcodec":
        for word in words:
            if PLACEHOLDER.fullmatch(word) and not Path(word).exists():
                Path(word).parent.mkdir(exist_ok=True)
                recipe = find_recipe("surrogate/quickstart")
                Path(word).write_text(recipe.read_text().replace("../../conf", str(recipe.parents[2] / "conf")))
        with contextlib.suppress(Parsed):
            assert main(words[1:]) == 0
    elif words[0] == "python" and words[1].endswith(".py"):
        script = (ROOT / words[1]).read_text(encoding="utf-8")
        assert not [word for word in words[2:] if word.startswith("--") and f'"{word}"' not in script]


@of_each_file
def test_every_command_in_a_readme_is_one_that_there_is(file, only_parsing, of_the_reader, capsys):
    of_the_reader(file)
    fenced = [command for block in blocks(file) if block.language == "bash" for command in commands(block.text)]
    for words in fenced + inline_commands(file):
        if tuple(words) in CHECKED:
            continue
        CHECKED.add(tuple(words))
        try:
            check(words)
        except (AssertionError, OSError, SystemExit) as error:
            raise AssertionError(f"{shlex.join(words)}: {capsys.readouterr().err}") from error


def run(words, monkeypatch):
    """Run a command in this process; return whether it succeeded."""
    if words[0] == "python":
        monkeypatch.setattr(sys, "argv", words[1:])
        monkeypatch.syspath_prepend((ROOT / words[1]).parent)
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")
    return words[0] != "qcodec" or main(words[1:] + (BARE if words[1] == "fit" else [])) == 0


@of_each_file
def test_every_block_of_a_readme_runs(file, recordings, of_the_reader, monkeypatch, capsys):
    of_the_reader(file)
    names = {}
    for block in blocks(file):
        if block.language in ("python", "diff"):
            for code in [*block.marked("before"), *(block.marked("long") or [block.code()])]:
                exec(compile(code, f"{file.name}, line {block.line}", "exec"), names)
        elif block.language == "bash":
            shorter = [" ".join(command.split()) for command in block.marked("long")]
            for words in commands("\n".join(shorter or [block.code()])):
                assert run(words, monkeypatch), f"line {block.line}: {shlex.join(words)}: {capsys.readouterr().err}"


@of_each_file
def test_every_class_in_a_readmes_settings_is_one_that_there_is(file):
    for block in blocks(file):
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language in ("yaml", "python"):
            for path in re.findall(r"class_path: (qcodec[\w.]+)", block.text):
                module, _, name = path.rpartition(".")
                assert hasattr(importlib.import_module(module), name), f"line {block.line}: {path}"


@of_each_file
def test_every_file_that_a_readme_links_to_is_there(file):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []
