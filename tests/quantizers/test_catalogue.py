"""The catalogue lists everything, once, and what it says is so."""

import inspect
import re
import textwrap
from pathlib import Path

import pytest

import qcodec
from qcodec.cli import main
from qcodec.quantizers.catalogue import FAMILIES, catalogue, entry_of

ROOT = Path(__file__).parents[2]
ENTRIES = {entry.name: entry for entry in catalogue()}


def test_everything_public_is_listed_once():
    bases = tuple(FAMILIES)
    public = [getattr(qcodec, name) for name in qcodec.__all__]
    classes = [each for each in public if inspect.isclass(each) and issubclass(each, bases)]
    names = [each.__name__ for each in classes if not inspect.isabstract(each)]
    factories = [name for name in qcodec.__all__ if inspect.isfunction(getattr(qcodec, name)) and "_" in name]
    names += [name for name in factories if inspect.signature(getattr(qcodec, name)).return_annotation in classes]
    assert {"residual_vq", "residual_fsq", "product_vq", "STE", "Dropout"} <= set(names)
    assert sorted(entry.name for entry in catalogue()) == sorted(names)


def test_each_has_a_line_and_can_be_built_by_its_defaults_or_its_example():
    for entry in ENTRIES.values():
        assert 10 < len(entry.line) < 120, entry
        assert entry.source or "arXiv" not in entry.line, entry
        assert entry.promises != ("its example does not run here",), entry


def test_facts_are_those_of_known_classes():
    def facts(name):
        return ENTRIES[name].needs, ENTRIES[name].promises

    assert facts("STE") == ((), ("exact forward", "captured"))
    assert facts("DiVeQ") == ((), ("captured", "trains the codebook"))
    assert facts("RotationTrick") == (("2 dimensions",), ("exact forward", "captured"))
    assert facts("SoftToHard") == (("logits",), ("captured", "trains the codebook"))
    assert facts("FSQ") == (("estimator",), ("exact forward", "captured", "file"))
    assert facts("SFDiVeQ") == (("codebook",), ())
    assert facts("ResidualVQ") == (("stages", "allocator"), ("exact forward", "file", "several rates"))
    assert [facts(name)[1] for name in ("EMACodebook", "Levels", "SimVQCodebook")] == [
        ("follows its frames",), ("fixed",), ("trained by gradients",)
    ]  # fmt: skip
    assert [facts(name)[1] for name in ("Dropout", "Whitening")] == [("captured", "in training alone"), ()]
    assert [facts(name)[1] for name in ("AllCodebooks", "ImportanceMask")] == [
        ("one rate for a recording",), ("a rate for each frame",)
    ]  # fmt: skip


def test_a_class_of_ones_own_is_described_like_the_others(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_for_zoo.py").write_text(
        "import qcodec\n\n\nclass Half(qcodec.GradientEstimator):\n"
        '    """Half of the gradient (Nobody, arXiv 0000.00000)."""\n\n'
        "    def estimate(self, z, z_q):\n        return z_q.detach() + 0.5 * (z - z.detach())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    assert main(["zoo", "mine_for_zoo.Half", "ste"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"Half +Half of the gradient\n +Nobody, arXiv 0000.00000 \| exact forward\n", told)
    assert re.search(r"STE +Straight-through estimator", told)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Foo", "name one of your own as my_module.Foo"),
        ("qcodec.Nothing", "has no attribute 'Nothing'"),
        ("qcodec.codecs.surrogate.SurrogateCodec", "SurrogateCodec is not a class of one of these"),
        ("qcodec.Quantizer", "Quantizer is not a class of one of these"),
    ],
)
def test_a_name_that_is_none_of_them_is_refused(name, told, capsys):
    assert main(["zoo", name]) == 1
    assert told in capsys.readouterr().err


def test_the_tables_of_the_readmes_are_what_the_command_prints(capsys):
    assert main(["zoo", "--markdown"]) == 0
    table = capsys.readouterr().out.strip()
    text = (ROOT / "qcodec/quantizers/README.md").read_text(encoding="utf-8")
    start, end = "<!-- qcodec zoo -->\n", "\n<!-- end -->"
    assert text.partition(start)[2].partition(end)[0].strip() == table, "paste what `qcodec zoo --markdown` prints"


def test_the_readmes_list_names_everything_with_its_source():
    paragraphs = []
    for family in FAMILIES.values():
        ours = [entry for entry in ENTRIES.values() if entry.family == family]
        names = ", ".join(f"`{entry.name}`" + (f" ({entry.source})" if entry.source else "") for entry in ours)
        plural = family.replace("estimator", "estimators") if "from" in family else f"{family}s"
        paragraphs.append(textwrap.fill(f"**{plural.capitalize()}.** {names}.", 120, break_long_words=False))
    expected = "\n\n".join(paragraphs)
    assert expected in (ROOT / "README.md").read_text(encoding="utf-8"), (
        f"its section Catalogue is to hold:\n{expected}"
    )


def test_an_entry_of_something_else_is_an_error():
    with pytest.raises(ValueError, match="RateAllocator is not a class"):
        entry_of(qcodec.RateAllocator)
