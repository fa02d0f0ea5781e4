"""``qcodec check`` finds what is broken, and nothing in what is not."""

import sys
from pathlib import Path

import broken_quantizers
import pytest

from qcodec import (
    AllCodebooks,
    CodebookDropout,
    DacCodec,
    EMACodebook,
    Identity,
    ImportanceMask,
    KMeansStart,
    L2Normalization,
    LearnedCodebook,
    ModifiedSTE,
    RotationTrick,
    SoftToHard,
)
from qcodec.cli import main
from qcodec.codecs.base import Embedding
from qcodec.conformance.check import check

CONF = Path(__file__).parents[2] / "conf"


def broken(part, **settings):
    said = [answer for checked in check(part, **settings) for answer in checked.answers]
    assert said
    assert all(answer.remedy for answer in said if answer.verdict == "no")
    return {answer.question.split(",")[0]: answer.found for answer in said if answer.verdict == "no"}


@pytest.mark.parametrize(
    ("name", "question", "found"),
    [
        ("DetachedCodebook", "Every weight gets a gradient", "points gets none"),
        ("CodesOutOfRange", "Codes lie in the range", "takes values from 0 to 3 of 3"),
        ("RoundedForward", "Training shows the decoder the quantized value", "in bf16 z_hat is not z_q"),
        ("DrawsInEvaluation", "In evaluation the same embedding gives the same outputs", "codes of two calls differ"),
        ("SharedBuffer", "Each seed's quantizer is built anew", "offset of two seeds is one tensor"),
        ("WrongBits", "Bits are those of the codes", "a frame of 16 bits (and 0 for its number of codes) says 8"),
        ("NoGradientAtAll", "Gradients reach the embedding", "the gradient is zero"),
        ("HiddenState", "What it learned and drew is all in its `state_dict`", "z_hat of one made from settings"),
    ],
)
def test_each_broken_promise_is_found_and_told(name, question, found):
    said = broken(getattr(broken_quantizers, name)(), processes=False)
    (told,) = (text for asked, text in said.items() if asked.startswith(question))
    assert found in told


def test_a_sound_quantizer_is_not_blamed():
    assert not broken(broken_quantizers.Sound(), processes=False)


def test_what_ranks_learn_apart_is_found_and_what_they_share_is_not():
    assert "mean differs between the ranks" in broken(broken_quantizers.OwnStatistics()).values()
    checked = next(check(EMACodebook(6, 4, least=0.0)))
    assert {answer.verdict for answer in checked.answers if "Two ranks" in answer.question} == {"yes"}


@pytest.mark.parametrize(
    ("part", "places"),
    [
        (ModifiedSTE("channel"), 2),
        (RotationTrick(), 2),
        (SoftToHard(), 2),
        (LearnedCodebook(20, 4), 2),
        (KMeansStart(EMACodebook(20, 3)), 2),
        (AllCodebooks(), 1),
        (CodebookDropout(0.5), 1),
        (ImportanceMask(8, widths=(6, 4)), 1),
        (L2Normalization(), 1),
        (DacCodec(Identity(), encoder_dim=2, decoder_dim=32), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parts_of_every_family_are_asked_where_they_are_used(part, places):
    asked = list(check(part, processes=False))
    assert len(asked) == places
    for checked in asked:
        for answer in checked.answers:
            assert answer.verdict != "no", answer


def test_an_estimator_is_asked_at_ties_and_on_levels():
    assert broken(broken_quantizers.Infinite(), processes=False)


def test_a_codec_whose_clips_depend_on_each_other_is_found():
    class Mixed(DacCodec.__mro__[1]):
        def __init__(self):
            super().__init__()
            self.quantizer, self.sample_rate = Identity(), 100

        @property
        def hop_length(self):
            return 1

        @property
        def channels(self):
            return 1

        def embed(self, x):
            z = (x - x.mean()).repeat_interleave(1, -1)
            return Embedding(z, z)

        def synthesize(self, z_hat):
            return z_hat[..., 1:]

    said = broken(Mixed())
    assert "In evaluation the same audio gives the same codes" in said
    assert any("became" in found for found in said.values())
    assert any("defined inside a function" in found for found in said.values())


def test_the_command_prints_a_line_for_each_answer_and_its_exit_status_says_whether_all_hold(capsys, monkeypatch):
    monkeypatch.setattr("sys.path", list(sys.path))
    assert main(["check", "broken_quantizers.NeedsAnArgument", "--levels", "4", "--one_process"]) == 0
    told = capsys.readouterr().out
    assert "NeedsAnArgument\n  yes  Outputs have the promised shapes and types\n" in told
    assert "times a ScalarQuantizer" in told
    assert "hold, 0 do not" in told
    with pytest.raises(SystemExit, match="1"):
        main(["check", "broken_quantizers.WrongBits", "--one_process"])
    told = capsys.readouterr().out
    assert "  NO   Bits are those of the codes" in told
    assert "remedy: sum log2 of `code_sizes` over the codes that are sent" in told


def test_the_command_takes_a_fragment_of_a_recipe_and_finds_the_channels_that_fit(capsys):
    assert main(["check", str(CONF / "quantizer/sq_mste.yaml"), "--one_process"]) == 0
    assert main(["check", "broken_quantizers.FiveChannels", "--one_process"]) == 0
    assert "0 do not" in capsys.readouterr().out
    assert main(["check", "broken_quantizers.FiveChannels", "--one_process", "--embedding", "4"]) == 1
    assert "takes no embedding (4, 4, 40): ValueError: it takes 5 channels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "nothing names no class"),
        (["broken_quantizers.Nope"], "has no attribute 'Nope'"),
        (["nowhere_at_all.Mine"], "No module named 'nowhere_at_all'"),
        (["qcodec.RunDescription"], "has no attribute"),
        (["torch.nn.Linear"], "Linear is none of these: quantizer"),
        (["broken_quantizers.NeedsAnArgument"], "part.init_args: has no `levels`"),
        (["broken_quantizers.Sound", "--levles", "3"], "there is no setting 'levles': choose one of levels"),
        (["broken_quantizers.Sound", "--levels", "four"], "expected int"),
        (["missing.yaml"], "missing.yaml"),
    ],
)
def test_what_cannot_be_asked_is_an_error_of_one_line(words, told, capsys):
    assert main(["check", *words]) == 1
    assert told in capsys.readouterr().err
