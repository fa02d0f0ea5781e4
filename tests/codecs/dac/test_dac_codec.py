import copy
import pickle
import runpy
import subprocess
import sys

import dac
import pytest
import soundfile
import torch
from audiotools import AudioSignal

from qcodec import (
    STE,
    AllCodebooks,
    CodebookDropout,
    DacCodec,
    ModifiedSTE,
    ScalarQuantizer,
    export_dac,
    load_dac,
    patch_dac,
    residual_vq,
)
from qcodec.codecs.dac.codec import keep_length

SIZES = {"n_codebooks": 3, "codebook_size": 32, "codebook_dim": 4, "quantizer_dropout": 0.5, "sample_rate": 16000}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stock_model(rates=(2, 4), **settings):
    torch.manual_seed(0)
    sizes = {"encoder_dim": 4, "encoder_rates": list(rates), "decoder_dim": 8, "decoder_rates": list(rates)[::-1]}
    return dac.DAC(**sizes, **(SIZES | settings)).eval()


def tiny_codec(rates=(2, 5), **settings):
    torch.manual_seed(0)
    quantizer = residual_vq(4 * 2 ** len(rates), 3, 32, 4, **settings)
    return DacCodec(quantizer, encoder_dim=4, encoder_rates=rates, decoder_dim=8)


@pytest.fixture
def released(tmp_path):
    """Save a model of dac with random weights by its own code; give the model and the file."""
    model = stock_model()
    model.save(tmp_path / "weights.pth", package=False)
    return model, tmp_path / "weights.pth"


def test_a_released_file_decodes_codes_to_the_very_audio_of_dac(released):
    model, path = released
    codec, x = load_dac(path).eval(), draw(2, 1, 80)
    z, codes, *_ = model.encode(x)
    output = codec(x)
    assert torch.equal(output.quantized.codes, codes)
    assert torch.equal(
        codec.synthesize(codec.quantizer.decode(codes)), model.decode(model.quantizer.from_codes(codes)[0])
    )
    assert torch.equal(output.audio, model.decode(model.quantizer.from_codes(codes)[0]))
    torch.testing.assert_close(output.audio, model.decode(z), rtol=0, atol=1e-6)  # dac's forward rounds the codes


def test_weights_that_went_through_here_give_the_very_audio_in_dac(released, tmp_path):
    model, path = released
    export_dac(load_dac(path), tmp_path / "exported.pth")
    again, x = dac.DAC.load(tmp_path / "exported.pth").eval(), draw(2, 1, 80)
    assert torch.equal(again(x)["audio"], model(x)["audio"])
    assert again.sample_rate == 16000


def test_a_codec_trained_here_survives_the_way_through_dac_and_back(tmp_path):
    codec = tiny_codec(allocator=CodebookDropout(0.25), estimator=ModifiedSTE())
    codec(draw(2, 1, 60)).audio.square().mean().backward()
    torch.optim.SGD(codec.parameters(), lr=0.1).step()
    export_dac(codec, tmp_path / "ours.pth")
    theirs = dac.DAC.load(tmp_path / "ours.pth")
    theirs.save(tmp_path / "theirs.pth", package=False)
    back, x = load_dac(tmp_path / "theirs.pth").eval(), draw(2, 1, 60)
    assert torch.equal(back(x).audio, codec.eval()(x).audio)
    assert theirs.quantizer.quantizer_dropout == 0.25
    assert load_dac(tmp_path / "ours.pth").quantizer.allocator.probability == 0.25
    assert isinstance(back.quantizer.allocator, AllCodebooks), "dac does not write its dropout"


@pytest.mark.parametrize("train", [True, False])
def test_a_whole_codec_gives_dacs_audio_losses_and_gradients(released, train):
    model, path = released
    codec, x = load_dac(path, STE(), CodebookDropout(0.5)), draw(4, 1, 80)

    def gradients(module, run):
        module.train(train)
        torch.manual_seed(3)
        audio, commitment, codebook = run()
        (audio.square().mean() + commitment + codebook).backward()
        return audio, commitment, codebook, {name: p.grad for name, p in module.named_parameters()}

    def run_stock():
        out = model(x)
        return out["audio"], out["vq/commitment_loss"], out["vq/codebook_loss"]

    def run_ours():
        for stage in codec.quantizer.stages:
            stage.estimator.train()  # dac passes gradients in evaluation too
        out = codec(x)
        return out.audio, out.quantized.losses["commitment"].mean(), out.quantized.losses["codebook"].mean()

    *expected, expected_gradients = gradients(model, run_stock)
    *found, found_gradients = gradients(codec, run_ours)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, value in expected_gradients.items():
        torch.testing.assert_close(found_gradients[name], value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("rates", [(2, 5), (5, 2), (3, 5), (2, 4)])
@pytest.mark.parametrize("length", [1, 59, 60, 61, 240])
def test_audio_of_any_length_comes_back_in_its_own_length(rates, length):
    codec = tiny_codec(rates).eval()
    output, hop = codec(draw(1, 1, length)), codec.hop_length
    assert output.audio.shape == (1, 1, length)
    assert output.z.shape[-1] == -(-length // hop)
    assert codec.synthesize(output.quantized.z_hat).shape[-1] == output.z.shape[-1] * hop


def test_the_mended_length_changes_no_weight_and_only_the_end_of_the_audio():
    model, z = stock_model(rates=(2, 5)), draw(1, 16, 40)
    before, weights = model.decode(z), {name: value.clone() for name, value in model.state_dict().items()}
    keep_length(model)
    after = model.decode(z)
    assert (before.shape[-1], after.shape[-1]) == (398, 400)
    torch.testing.assert_close(before[..., :250], after[..., :250], rtol=0, atol=1e-6)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_features_are_those_before_the_encoders_last_layers():
    codec = tiny_codec()
    embedding = codec.embed(draw(2, 1, 60))
    z, features = embedding.z, embedding.features
    assert features.shape == (2, 16, 6)
    assert torch.equal(codec.encoder.block[-2:](features), z)
    assert torch.equal(codec.encoder(draw(2, 1, 60)), z)


def test_any_quantizer_stands_between_encoder_and_decoder():
    codec = DacCodec(ScalarQuantizer(4, estimator=ModifiedSTE()), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    output = codec(draw(2, 1, 60))
    output.audio.square().sum().backward()
    assert output.quantized.codes.shape == (2, 16, 6)
    assert all(p.grad.isfinite().all() for p in codec.parameters())


def test_the_rate_dial_reaches_the_quantizer():
    output = tiny_codec().eval()(draw(1, 1, 60), level=1)
    assert output.quantized.bits.tolist() == [[5.0] * 6]


def test_the_defaults_are_those_of_the_16_khz_model():
    with torch.device("meta"):
        codec, stock = DacCodec(), dac.DAC(64, [2, 4, 5, 8], None, 1536, [8, 5, 4, 2], 12, 1024, 8, 0.5, 16000)
    assert {n: v.shape for n, v in codec.state_dict().items()} == {n: v.shape for n, v in stock.state_dict().items()}
    assert (codec.hop_length, codec.frame_rate) == (320, 50.0)
    assert codec.quantizer.allocator.probability == 0.5


@pytest.mark.parametrize("estimator", [STE(), ModifiedSTE()])
def test_a_patched_dac_trains_as_ours_does_with_the_same_estimator(released, estimator):
    model, path = released
    codec, x = load_dac(path, estimator, CodebookDropout(0.5)), draw(4, 1, 80)
    assert patch_dac(model, estimator=estimator) is model
    for module in (model, codec):
        module.train()
    torch.manual_seed(3)
    model(x)["audio"].square().sum().backward()
    torch.manual_seed(3)
    codec(x).audio.square().sum().backward()
    for (name, theirs), (our_name, ours) in zip(model.named_parameters(), codec.named_parameters(), strict=True):
        assert our_name == name
        if theirs.grad is not None or ours.grad is not None:  # codebooks have none without their losses
            torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_patching_changes_the_gradient_but_neither_weights_nor_codes_nor_values(released):
    model, path = released
    other, x = patch_dac(dac.DAC.load(path, quantizer_dropout=0.5), ModifiedSTE()), draw(4, 1, 80)
    assert list(other.state_dict()) == list(model.state_dict())
    outputs = {}
    for name, module in (("stock", model), ("patched", other)):
        torch.manual_seed(3)
        outputs[name] = module.train()(x)
        outputs[name]["audio"].square().sum().backward()
    assert torch.equal(outputs["stock"]["codes"], outputs["patched"]["codes"])
    torch.testing.assert_close(outputs["patched"]["audio"], outputs["stock"]["audio"], rtol=0, atol=1e-6)
    first, second = model.encoder.block[0].weight_v.grad, other.encoder.block[0].weight_v.grad
    assert (first - second).abs().max() > 1e-4 * first.abs().max()


def test_a_second_patch_replaces_the_first(released):
    model, _ = released
    twice = patch_dac(patch_dac(model, ModifiedSTE()), STE())
    stage = twice.quantizer.quantizers[0]
    assert isinstance(stage.estimator, STE)
    assert len(stage._forward_hooks) == 1
    assert not stage.estimator.training, "the model is in evaluation"


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")  # torch.package in torch 2.11
def test_a_patched_dac_still_saves_itself_both_ways(released, tmp_path):
    model, _ = released
    x = draw(1, 1, 80)
    expected = patch_dac(model, ModifiedSTE())(x)["audio"]
    model.save(tmp_path / "weights.pth", package=False)
    model.save(tmp_path / "package.pth")
    for name in ("weights.pth", "package.pth"):
        torch.testing.assert_close(dac.DAC.load(tmp_path / name).eval()(x)["audio"], expected, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # another project's program, as it comes
def test_the_published_program_encodes_and_decodes_with_exported_weights(tmp_path, monkeypatch):
    codec = tiny_codec((2, 4)).eval()
    export_dac(codec, tmp_path / "weights.pth")
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / "wav" / "noise.wav", 0.1 * draw(9600).numpy(), 16000)
    for stage, source, target in (("encode", "wav", "codes"), ("decode", "codes", "decoded")):
        arguments = [stage, str(tmp_path / source), "--output", str(tmp_path / target), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["dac", *arguments, "--weights_path", str(tmp_path / "weights.pth")])
        runpy.run_module("dac", run_name="__main__")
    decoded, sample_rate = soundfile.read(tmp_path / "decoded" / "noise.wav", dtype="float32")
    assert (len(decoded), sample_rate) == (9600, 16000)
    codes = torch.from_numpy(dac.DACFile.load(tmp_path / "codes" / "noise.dac").codes.numpy())
    ours = codec.synthesize(codec.quantizer.decode(codes)).detach().flatten()
    similarity = torch.cosine_similarity(ours, torch.from_numpy(decoded), dim=0)
    assert similarity > 0.9999, "the program restores loudness; but for that it is the same audio"


def test_only_what_dac_can_carry_is_exported(tmp_path):
    scalar = DacCodec(ScalarQuantizer(4), encoder_dim=4, encoder_rates=(2, 4), decoder_dim=8)
    with pytest.raises(ValueError, match="ScalarQuantizer has no counterpart in `dac`"):
        export_dac(scalar, tmp_path / "x.pth")
    codec = tiny_codec(allocator=AllCodebooks())
    codec.quantizer.allocator.importance = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"no place for the weights quantizer\.allocator\.importance\.bias, "):
        export_dac(codec, tmp_path / "x.pth")
    assert not (tmp_path / "x.pth").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DacCodec(encoder_rates=(2, 1)), r"encoder_rates=\[2, 1\] .* strides of 2 or more"),
        (lambda: DacCodec(encoder_rates=(2, 4), decoder_rates=(2, 2)), "with equal products"),
        (lambda: tiny_codec()(draw(1, 2, 60)), r"audio of shape \(B, 1, L\), not torch.float32 of shape \(1, 2, 60\)"),
        (lambda: tiny_codec()(draw(1, 1, 0)), r"shape \(1, 1, 0\)"),
        (lambda: patch_dac(torch.nn.Linear(2, 2), STE()), "Linear holds no VectorQuantize of `dac`: give a dac.DAC"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda codec: pickle.loads(pickle.dumps(codec))])
def test_a_new_codec_survives_copying_and_pickling_and_trains(copied):
    codec, x = copied(tiny_codec()), draw(1, 1, 60)
    assert torch.equal(codec.eval()(x).audio, tiny_codec().eval()(x).audio)
    codec(x).audio.square().sum().backward()
    assert all(p.grad is not None for p in codec.decoder.parameters())


def test_with_an_odd_stride_the_published_program_needs_a_window_shorter_than_the_clip(tmp_path):
    export_dac(tiny_codec((2, 5)), tmp_path / "weights.pth")
    model, clip = dac.DAC.load(tmp_path / "weights.pth").eval(), AudioSignal(0.1 * draw(1, 1, 1600), 16000)
    with pytest.raises(RuntimeError, match="1600"):
        model.decompress(model.compress(clip, win_duration=1.0))
    assert model.decompress(model.compress(clip, win_duration=0.05)).shape == (1, 1, 1600)


def test_no_warning_of_dac_reaches_the_user_and_no_filter_is_left_changed():
    code = (
        "import torch, warnings; before = list(warnings.filters)\n"
        "from qcodec import DacCodec; DacCodec(encoder_dim=2, encoder_rates=(2, 2), decoder_dim=4)\n"
        "assert warnings.filters == before"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
