import re

import dac
import pytest
import torch
import yaml

from qcodec import DacCodec, ModifiedSTE, ScalarQuantizer, residual_vq
from qcodec.cli import main
from qcodec.codecs.dac.weights import load_dac

CODEC = {
    "class_path": "qcodec.DacCodec",
    "init_args": {
        "encoder_dim": 4,
        "encoder_rates": [2, 4],
        "decoder_dim": 8,
        "quantizer": {
            "class_path": "qcodec.ResidualVQ",
            "init_args": {
                "dim": 16, "n_codebooks": 3, "codebook_size": 32, "codebook_dim": 4,
                "estimator": {"class_path": "qcodec.ModifiedSTE"},
            },
        },
    },
}  # fmt: skip
SCALAR = CODEC["init_args"] | {"quantizer": {"class_path": "qcodec.ScalarQuantizer", "init_args": {"levels": 4}}}


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
    written(tmp_path / "run", CODEC, state)
    return codec, tmp_path / "run"


def written(folder, codec, state):
    (folder / "checkpoints").mkdir(parents=True)
    settings = {"model": {"class_path": "qcodec.tasks.audio.AudioTask", "init_args": {"codec": codec}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    torch.save({"state_dict": state, "epoch": 1, "global_step": 2}, folder / "checkpoints" / "last.ckpt")
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


def test_the_settings_may_lie_elsewhere(run, tmp_path):
    _, folder = run
    moved = tmp_path / "alone.ckpt"
    (folder / "checkpoints" / "last.ckpt").rename(moved)
    assert export(moved, tmp_path / "weights.pth", "--config", folder / "config.yaml") == 0


def test_a_file_is_replaced_only_when_asked_for(run, tmp_path, capsys):
    _, folder = run
    checkpoint, output = folder / "checkpoints" / "last.ckpt", tmp_path / "weights.pth"
    output.write_text("precious")
    assert "weights.pth exists: give another name, or --overwrite" in refused(capsys, checkpoint, output)
    assert output.read_text() == "precious"
    assert export(checkpoint, output, "--overwrite") == 0
    assert dac.DAC.load(output)


def test_a_run_without_settings_is_told(run, tmp_path, capsys):
    _, folder = run
    (folder / "config.yaml").unlink()
    message = refused(capsys, folder / "checkpoints" / "last.ckpt", tmp_path / "x.pth")
    assert message.endswith("config.yaml: give the settings of the checkpoint's run with --config")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("model: [", "is no valid YAML"),
        ("model: {init_args: {systems: {}}}", "names no codec under model.init_args.codec, as a surrogate's settings"),
        ("just text", "names no codec under model.init_args.codec"),
        (yaml.safe_dump({"model": {"init_args": {"codec": None}}}), "config.yaml"),
        (CODEC | {"init_args": {"encoder_dmi": 3}}, "there is no setting 'encoder_dmi': choose one of quantizer, "),
        (CODEC | {"init_args": {}}, "the weights in .*last.ckpt are not of the codec in .*config.yaml: "),
        (CODEC | {"class_path": "qcodec.SurrogateCodec", "init_args": {}}, "config.yaml"),
        (CODEC | {"class_path": "nowhere.Codec"}, "No module named 'nowhere'"),
    ],
)
def test_settings_that_do_not_fit_are_named(run, tmp_path, capsys, settings, message):
    _, folder = run
    text = yaml.safe_dump({"model": {"init_args": {"codec": settings}}}) if isinstance(settings, dict) else settings
    (folder / "config.yaml").write_text(text)
    assert re.search(message, refused(capsys, folder / "checkpoints" / "last.ckpt", tmp_path / "x.pth"))


def test_a_quantizer_that_dac_does_not_know_is_named(tmp_path, capsys):
    codec = DacCodec(ScalarQuantizer(4), 4, (2, 4), decoder_dim=8)
    state = {f"codec.{name}": value for name, value in codec.state_dict().items()}
    folder = written(tmp_path / "run", CODEC | {"init_args": SCALAR}, state)
    message = refused(capsys, folder / "checkpoints" / "last.ckpt", tmp_path / "x.pth")
    assert "ScalarQuantizer has no counterpart in `dac`" in message


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
