"""Nobody outside of their own folders guesses what a quantizer, an allocator or a codec is: they answer questions."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "qcodec"
OWN = {"quantizers": "quantizers", "codecs": "codecs"}
GUESSED = re.compile(r"quantizer|allocator|codec\b|codebook|estimator")
BASES = {"Codec", "AudioCodec", "Quantizer"}  # an object of some such kind may be asked for, where it is handed over


def classes(folder):
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / folder).rglob("*.py")]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


KINDS = {folder: classes(folder) for folder in OWN}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node, node.func.id, [ast.unparse(argument) for argument in node.args]


def guesses(path):
    """Return the calls in a file that guess what one of them is."""
    foreign = set().union(*(kinds for folder, kinds in KINDS.items() if path.relative_to(PACKAGE).parts[0] != folder))
    for node, name, arguments in calls(path):
        if name in ("isinstance", "issubclass"):
            asked = set(re.findall(r"\w+", arguments[1])) & foreign
            if asked - BASES:
                yield node.lineno, ast.unparse(node)
        elif name == "hasattr" or (name == "getattr" and len(arguments) == 3):
            inside = path.relative_to(PACKAGE).parts[0] in OWN
            if GUESSED.search(arguments[0]) and not inside:
                yield node.lineno, ast.unparse(node)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])
def test_no_file_guesses_the_kind_of_a_quantizer_an_allocator_or_a_codec(path):
    assert not list(guesses(path))


def test_a_guess_is_found(tmp_path, monkeypatch):
    folder = tmp_path / "qcodec" / "bitstream"
    folder.mkdir(parents=True)
    (folder / "x.py").write_text(
        "def f(codec):\n"
        "    isinstance(codec.quantizer, ResidualVQ)\n"
        "    hasattr(codec.quantizer, 'allocator')\n"
        "    getattr(codec, 'hop_length', 1)\n"
        "    isinstance(codec, AudioCodec)\n"
    )
    monkeypatch.setattr("test_questions.PACKAGE", tmp_path / "qcodec")
    assert [line for line, _ in guesses(folder / "x.py")] == [2, 3, 4]
