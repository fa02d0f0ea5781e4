"""Models in files of qcodec's own, and what a file's fingerprint tells apart."""

import copy

import pytest
import torch

from qcodec import (
    AudioCodec,
    CodebookDropout,
    DacCodec,
    DiVeQ,
    EMACodebook,
    Embedding,
    FactorizedVQ,
    LearnedCodebook,
    Levels,
    Quantizer,
    ResidualVQ,
    VectorQuantizer,
)
from qcodec.bitstream.fingerprint import fingerprint
from qcodec.codecs.model_file import ModelFile, load_codec, read_model, write_model


def codec_of(quantizer):
    torch.manual_seed(0)
    return DacCodec(quantizer, encoder_dim=4, encoder_rates=(4,), decoder_dim=8)


def test_a_codebook_that_two_stages_share_is_written_and_read(tmp_path):
    codebook = LearnedCodebook(size=16, dim=4)
    codec = codec_of(ResidualVQ([FactorizedVQ(8, codebook), FactorizedVQ(8, codebook)])).eval()
    path = tmp_path / "shared.safetensors"
    with path.open("wb") as file:
        write_model(file, path.name, ModelFile(codec))
    audio = torch.randn(1, 1, 100)
    assert torch.equal(load_codec(path)(audio).audio, codec(audio).audio)


@pytest.mark.parametrize(
    "state", [{1: torch.zeros(1)}, {"codec.a": 5}, {}], ids=["names of another kind", "no tensors", "nothing"]
)
@pytest.mark.parametrize("ending", [".ckpt", ".pth"])
def test_a_file_of_other_content_is_refused(tmp_path, state, ending):
    sizes = {"encoder_dim": 4, "encoder_rates": [2], "decoder_dim": 8, "decoder_rates": [2]}
    described = {"class": "qcodec.codecs.dac.codec.DacCodec", "arguments": sizes}
    content = {"state_dict": state, "codec": described, "metadata": {"kwargs": sizes}}
    torch.save(content, tmp_path / f"x{ending}")
    with pytest.raises(ValueError, match="x"):
        load_codec(tmp_path / f"x{ending}")


def test_sizes_that_no_memory_holds_are_refused(tmp_path):
    torch.save({"state_dict": {}, "metadata": {"kwargs": {"decoder_dim": 10**12}}}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="make no codec"):
        load_codec(tmp_path / "x.pth")


def test_fixed_levels_of_another_step_have_another_fingerprint():
    one, other = (codec_of(FactorizedVQ(8, Levels(4, step))) for step in (1.0, 2.0))
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("around", [lambda codebook: VectorQuantizer(codebook), lambda c: FactorizedVQ(8, c)])
def test_what_only_training_uses_leaves_the_fingerprint(around):
    codec = codec_of(around(EMACodebook(size=16, dim=8)))
    before = fingerprint(codec)
    codec.quantizer.estimator = DiVeQ()
    codec.quantizer.codebook.counts += 1
    codec.quantizer.codebook.decay = 0.5
    assert fingerprint(codec) == before
    codec.quantizer.codebook.weight = codec.quantizer.codebook.weight + 1
    assert fingerprint(codec) != before


def test_a_codec_in_bfloat16_has_a_fingerprint_of_its_own():
    codec = codec_of(VectorQuantizer(LearnedCodebook(size=16, dim=8)))
    assert fingerprint(copy.deepcopy(codec).bfloat16()) != fingerprint(codec)


def test_codes_of_a_codec_in_training_are_those_of_evaluation_and_leave_it_as_it_was():
    stages = [FactorizedVQ(8, EMACodebook(size=16, dim=4)) for _ in range(3)]
    codec = codec_of(ResidualVQ(stages, CodebookDropout(1.0))).train()
    codec.quantizer.stages[1].eval()
    before, audio = copy.deepcopy(codec.state_dict()), torch.randn(4, 1, 400)
    codes = codec.encode(audio)
    assert codec.training
    assert not codec.quantizer.stages[1].training
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())
    assert torch.equal(codec.encode(audio, level=3), codes)
    assert torch.equal(codec.eval().encode(audio), codes)


class Extra(AudioCodec):
    """A codec with weights called `extra`."""

    hop_length, channels = 40, 8

    def __init__(self, quantizer: Quantizer):
        super().__init__()
        self.quantizer, self.sample_rate = quantizer, 16000
        self.front, self.extra = torch.nn.Linear(40, 8), torch.nn.Linear(8, 40)

    def embed(self, x):
        z = self.front(x.view(len(x), -1, 40)).transpose(1, 2)
        return Embedding(z, z)

    def synthesize(self, z_hat):
        return self.extra(z_hat.transpose(1, 2)).flatten(1)[:, None]


def test_a_codecs_own_weights_are_told_from_what_lies_beside_them_whatever_their_names(tmp_path):
    codec, path = Extra(VectorQuantizer(LearnedCodebook(size=16, dim=8))).eval(), tmp_path / "x.safetensors"
    with path.open("wb") as file:
        write_model(file, path.name, ModelFile(codec, {"tables": torch.ones(2)}))
    model, audio = read_model(path, [__name__]), torch.randn(1, 1, 400)
    assert torch.equal(model.codec(audio).audio, codec(audio).audio)
    assert list(model.extras) == ["tables"]
