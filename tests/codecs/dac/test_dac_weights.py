"""Weight files of codecs of variable bitrate: the very codec here, every codebook in `dac`."""

import dac
import pytest
import torch

from qcodec import (
    AllCodebooks,
    CodebookDropout,
    DacCodec,
    ImportanceMask,
    LogUniformLevels,
    ModifiedSTE,
    UniformLevels,
    export_dac,
    load_dac,
    residual_vq,
)
from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.levels import LevelSampler

MASK = "qcodec.quantizers.importance.ImportanceMask"
SETTINGS = {"widths": (5, 4), "sharpness": 3.0, "full_share": 0.5, "detach_input": True, "default_level": 0.7}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def codec_of(allocator):
    torch.manual_seed(0)
    codec = DacCodec(residual_vq(16, 4, 32, 4, allocator), encoder_dim=4, encoder_rates=(2, 4), decoder_dim=8)
    if isinstance(allocator, ImportanceMask):
        with torch.no_grad():
            allocator.subnet[-1].weight_g.fill_(20.0)  # tells frames apart
    return codec.eval()


def variable_codec(levels=None):
    torch.manual_seed(1)
    return codec_of(ImportanceMask(16, training_levels=levels, **SETTINGS))


@pytest.mark.parametrize("levels", [LogUniformLevels(0.2, 3.0), UniformLevels(0.3, 5.0)])
def test_a_codec_of_variable_bitrate_comes_back_with_its_weights_and_settings(tmp_path, levels):
    codec, x = variable_codec(levels), draw(2, 1, 400)
    export_dac(codec, tmp_path / "vbr.pth")
    back = load_dac(tmp_path / "vbr.pth", ModifiedSTE()).eval()
    for level in (None, 0.3, 2.0):
        ours, theirs = codec(x, level), back(x, level)
        assert torch.equal(theirs.quantized.codes, ours.quantized.codes)
        assert torch.equal(theirs.audio, ours.audio)
    assert (ours.quantized.codes == -1).any()
    allocator = back.quantizer.allocator
    assert {name: getattr(allocator, name) for name in SETTINGS} == SETTINGS
    drawn = allocator.training_levels
    assert type(drawn) is type(levels)
    assert (drawn.low, drawn.high) == (levels.low, levels.high)


def test_the_file_is_read_as_data_and_holds_plain_settings(tmp_path):
    export_dac(variable_codec(), tmp_path / "vbr.pth")
    content = torch.load(tmp_path / "vbr.pth", weights_only=True)
    assert content["metadata"]["qcodec"]["allocator"] == {
        "class": MASK,
        "arguments": {
            "channels": 16,
            **{name: {"tuple": list(value)} if isinstance(value, tuple) else value for name, value in SETTINGS.items()},
            "training_levels": None,
        },
    }


def test_dac_takes_the_file_passes_over_the_network_and_sends_every_codebook(tmp_path):
    codec, x = variable_codec(), draw(2, 1, 400)
    export_dac(codec, tmp_path / "vbr.pth")
    stock = dac.DAC.load(tmp_path / "vbr.pth").eval()
    codes = stock.encode(x)[1]
    assert torch.equal(codes, codec(x, level=1e9).quantized.codes)
    stock.save(tmp_path / "stock.pth", package=False)
    assert isinstance(load_dac(tmp_path / "stock.pth").quantizer.allocator, AllCodebooks)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_file_of_variable_bitrate_is_opened_at_a_constant_one(tmp_path, n):
    codec, x = variable_codec(), draw(2, 1, 400)
    export_dac(codec, tmp_path / "vbr.pth")
    constant = load_dac(tmp_path / "vbr.pth", allocator=AllCodebooks()).eval()(x, level=n)
    full = codec(x, level=1e9).quantized.codes
    assert torch.equal(constant.quantized.codes[:, :n], full[:, :n])
    assert torch.equal(constant.audio, codec.synthesize(codec.quantizer.decode(full[:, :n])))
    assert (constant.quantized.bits == 5 * n).all()


def test_a_file_of_constant_bitrate_becomes_one_of_variable_bitrate_that_can_be_tuned_and_exported(tmp_path):
    codec, x = codec_of(CodebookDropout(0.5)), draw(4, 1, 400)
    export_dac(codec, tmp_path / "cbr.pth")
    allocator = ImportanceMask(16, (5,))
    before = {name: value.clone() for name, value in allocator.state_dict().items()}
    tuned = load_dac(tmp_path / "cbr.pth", allocator=allocator)
    assert all(torch.equal(tuned.quantizer.allocator.state_dict()[name], value) for name, value in before.items())
    tuned(x).quantized.losses["rate"].mean().backward()
    assert all(p.grad is not None for p in allocator.parameters())
    export_dac(tuned, tmp_path / "vbr.pth")
    again = load_dac(tmp_path / "vbr.pth").eval()
    assert torch.equal(again(x).audio, tuned.eval()(x).audio)


def test_depth_is_never_lost_on_the_way_from_codes_to_audio():
    codec, x = variable_codec(), draw(2, 1, 401)
    output = codec(x, level=0.5)
    depth = (output.quantized.codes >= 0).sum(1)
    assert depth.min() < depth.max()
    decoded = codec.synthesize(codec.quantizer.decode(output.quantized.codes))
    assert torch.equal(decoded[..., :401], output.audio)


class OwnAllocator(RateAllocator):
    def forward(self, z, stages, *, features=None, level=None):
        raise NotImplementedError


class OwnLevels(LevelSampler):
    def draw(self, clips):
        return torch.ones(clips)


@pytest.mark.parametrize(
    ("allocator", "name"),
    [(OwnAllocator(), "OwnAllocator"), (ImportanceMask(16, (5,), training_levels=OwnLevels()), "OwnLevels")],
)
def test_what_a_file_has_no_name_for_is_refused_with_the_way_round_it(tmp_path, allocator, name):
    with pytest.raises(ValueError, match=rf"{name}, which is not of qcodec.*with_allocator\(AllCodebooks\(\)\)"):
        export_dac(codec_of(allocator), tmp_path / "x.pth")
    assert not (tmp_path / "x.pth").exists()


def of(path, **arguments):
    return {"class": path, "arguments": arguments}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (of("os.system", command="echo"), "made of os.system, which is not of qcodec"),
        (of("qcodec.cli.main", args=["--help"]), "qcodec.cli.main is no part of a codec: it is refused"),
        (of("qcodec.quantizers.levels.UniformLevels"), "a UniformLevels, which is no RateAllocator"),
        (of(MASK, chanels=3), "do not fit ImportanceMask"),
        (of(MASK, channels=16, sharpness=-1.0), "sharpness=-1.0 makes no step"),
        (of(MASK, channels=16, widths=[3]), "weights do not fit the sizes"),
        (of("qcodec.quantizers.importance.Missing"), "there is no class qcodec.quantizers.importance.Missing"),
        (["ImportanceMask"], "a list, which is no RateAllocator"),
        ({"name": "CodebookDropout", "probability": 0.5}, "was written by an earlier version of qcodec"),
    ],
)
def test_settings_that_cannot_be_are_named_with_the_file(tmp_path, settings, message):
    path = tmp_path / "vbr.pth"
    export_dac(variable_codec(), path)
    content = torch.load(path, weights_only=True)
    content["metadata"]["qcodec"]["allocator"] = settings
    torch.save(content, path)
    with pytest.raises(ValueError, match=rf"vbr\.pth.*{message}"):
        load_dac(path)
