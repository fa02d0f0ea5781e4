import re

import dac
import pytest
import torch

from qcodec import FSQ, AnnealedDither, DacCodec, ModifiedSTE, ScalarQuantizer, residual_vq
from qcodec.cli import main
from qcodec.codecs.dac.weights import load_dac
from qcodec.codecs.model_file import ModelFile, load_codec, write_model
from qcodec.quantizers.rebuild import settings_of

DAC = "qcodec.codecs.dac.codec.DacCodec"


def trained_codec():
    torch.manual_seed(0)
    codec = DacCodec(residual_vq(16, 3, 32, 4, estimator=ModifiedSTE()), 4, (2, 4), decoder_dim=8)
    codec(torch.randn(2, 1, 64)).audio.square().mean().backward()
    torch.optim.SGD(codec.parameters(), lr=0.1).step()
    return codec.eval()


@pytest.fixture
def run(tmp_path):
    """Write what a fit leaves of a codec: settings, and a checkpoint with weights of the task's other parts."""
    codec = trained_codec()
    state = {f"codec.{name}": value for name, value in codec.state_dict().items()}
    state["adversary.discriminator.weight"] = torch.zeros(3)
    return codec, written(tmp_path / "run", settings_of(codec), state)


def written(folder, settings, state):
    (folder / "checkpoints").mkdir(parents=True)
    content = {"state_dict": state, "epoch": 1, "global_step": 2, "codec": settings}
    torch.save(content, folder / "checkpoints" / "last.ckpt")
    return folder


def export(*words):
    return main(["export", *map(str, words)])


def refused(capsys, *words):
    """Give the one line that an export ended with; nothing is written, under no name."""
    before = sorted(words[1].parent.rglob("*"))
    assert export(*words) == 1
    assert sorted(words[1].parent.rglob("*")) == before
    return capsys.readouterr().err.splitlines()[0]


def test_a_checkpoint_becomes_a_file_that_dac_loads_to_the_same_audio(run, tmp_path):
    codec, folder = run
    assert export(folder / "checkpoints" / "last.ckpt", tmp_path / "weights.pth") == 0
    model, x = dac.DAC.load(tmp_path / "weights.pth").eval(), torch.randn(2, 1, 80)
    output = codec(x)
    assert torch.equal(model.encode(x)[1], output.quantized.codes)
    assert torch.equal(model.decode(output.quantized.z_hat), output.audio)
    assert model.sample_rate == 16000
    assert torch.equal(load_dac(tmp_path / "weights.pth").eval()(x).audio, output.audio)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["weights.pth"]


def test_a_run_folder_or_a_moved_checkpoint_serves_as_well(run, tmp_path):
    _, folder = run
    assert export(folder, tmp_path / "a.pth") == 0
    (folder / "checkpoints" / "last.ckpt").rename(tmp_path / "alone.ckpt")
    assert export(tmp_path / "alone.ckpt", tmp_path / "b.pth") == 0
    x = torch.randn(1, 1, 80)
    assert torch.equal(load_codec(tmp_path / "a.pth")(x).audio, load_codec(tmp_path / "b.pth")(x).audio)


@pytest.mark.parametrize("quantizer", [ScalarQuantizer(4), FSQ((8, 5, 5, 5) * 4), AnnealedDither(FSQ(4), 0.1, 9)])
def test_a_codec_that_dac_does_not_know_becomes_a_file_of_our_own(tmp_path, quantizer):
    torch.manual_seed(0)
    codec, x = DacCodec(quantizer, 4, (2, 4), decoder_dim=8).eval(), torch.randn(2, 1, 80)
    state = {f"codec.{name}": value for name, value in codec.state_dict().items()}
    folder = written(tmp_path / "run", settings_of(codec), state)
    assert export(folder, tmp_path / "x.safetensors") == 0
    back = load_codec(tmp_path / "x.safetensors")
    assert torch.equal(back(x).audio, codec(x).audio)
    assert torch.equal(back.decode(back.encode(x)), codec(x).audio)


def test_a_file_is_replaced_only_when_asked_for(run, tmp_path, capsys):
    _, folder = run
    checkpoint, output = folder / "checkpoints" / "last.ckpt", tmp_path / "weights.pth"
    output.write_text("precious")
    assert "weights.pth exists: give another name, or --overwrite" in refused(capsys, checkpoint, output)
    assert output.read_text() == "precious"
    assert export(checkpoint, output, "--overwrite") == 0
    assert dac.DAC.load(output)


def of(path, **arguments):
    return {"class": path, "arguments": arguments}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "a NoneType, which is no AudioCodec"),
        (of(DAC, encoder_dmi=3), "the settings .* do not fit DacCodec: .*encoder_dmi"),
        (of(DAC), "its weights do not fit its settings: "),
        (of("qcodec.codecs.surrogate.SurrogateCodec"), "a SurrogateCodec, which is no AudioCodec"),
        (of("nowhere.Codec"), "made of nowhere.Codec, which is not of qcodec: .* --trust nowhere"),
        ({"error": "f.<locals>.C is defined inside a function"}, "cannot tell what its codec is made of: f.<locals>"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path, capsys, settings, message):
    folder = written(tmp_path / "run", settings, {"codec.weight": torch.zeros(1)})
    assert re.search(message, refused(capsys, folder / "checkpoints" / "last.ckpt", tmp_path / "x.pth"))


def test_a_checkpoint_of_the_former_layout_is_told(run, tmp_path, capsys):
    _, folder = run
    checkpoint = folder / "checkpoints" / "last.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    del content["codec"]
    torch.save(content, checkpoint)
    assert "it is the checkpoint of a surrogate, or of an earlier" in refused(capsys, folder, tmp_path / "x.pth")


def test_a_quantizer_that_dac_does_not_know_is_named_with_the_format_that_does(tmp_path, capsys):
    codec = DacCodec(ScalarQuantizer(4), 4, (2, 4), decoder_dim=8)
    state = {f"codec.{name}": value for name, value in codec.state_dict().items()}
    folder = written(tmp_path / "run", settings_of(codec), state)
    message = refused(capsys, folder / "checkpoints" / "last.ckpt", tmp_path / "x.pth")
    assert "ScalarQuantizer has no counterpart in `dac`" in message
    assert ".safetensors" in message


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_a_damaged_file_of_our_own_is_named(tmp_path, keep):
    with (tmp_path / "whole.safetensors").open("wb") as file:
        write_model(file, "whole.safetensors", ModelFile(trained_codec()))
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:keep])
    with pytest.raises(ValueError, match="is damaged, or was not written by `qcodec export`"):
        load_codec(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_a_damaged_checkpoint_is_named(run, tmp_path, capsys, keep):
    _, folder = run
    checkpoint = folder / "checkpoints" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:keep])
    assert "last.ckpt is damaged or no checkpoint" in refused(capsys, checkpoint, tmp_path / "x.pth")


def test_what_is_no_checkpoint_is_told(run, tmp_path, capsys):
    _, folder = run
    assert "there is no checkpoint" in refused(capsys, folder / "nowhere.ckpt", tmp_path / "x.pth")
    torch.save({"state_dict": 3}, folder / "odd.ckpt")
    assert "holds no Lightning checkpoint" in refused(capsys, folder / "odd.ckpt", tmp_path / "x.pth")


def test_a_missing_folder_is_told_before_any_work(run, tmp_path, capsys):
    _, folder = run
    assert export(folder / "checkpoints" / "last.ckpt", tmp_path / "a" / "x.pth") == 1
    assert "there is no folder" in capsys.readouterr().err
