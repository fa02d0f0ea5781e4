"""The commands `encode` and `decode`."""

import numpy as np
import pytest
import soundfile
import torch

from qcodec import DacCodec, ResidualVQ
from qcodec.cli import main
from qcodec.codecs.dac_file import export_dac


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def write(path, *shape, rate=16000, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * draw(*shape, seed=seed).numpy(), rate, subtype="FLOAT")


@pytest.fixture
def codec(tmp_path):
    torch.manual_seed(0)
    codec = DacCodec(ResidualVQ(16, 3, 32, 4), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8).eval()
    export_dac(codec, tmp_path / "model.pth")
    return codec


def run(*words):
    return main([*map(str, words), "--checkpoint", "model.pth", "--device", "cpu"])


def test_a_file_decodes_to_the_audio_of_the_models_own_forward(codec, tmp_path, capsys):
    write(tmp_path / "in.wav", 3001, 2)
    assert run("encode", "in.wav", "out.qc", "--level", 2) == 0
    assert run("decode", "out.qc", "back.wav", "--subtype", "FLOAT") == 0
    stereo, rate = soundfile.read(tmp_path / "back.wav", dtype="float32")
    source, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    expected = codec(torch.from_numpy(source.T.copy())[:, None], level=2).audio[:, 0].T
    assert rate == 16000
    np.testing.assert_allclose(stereo, expected.detach().numpy(), rtol=0, atol=1e-6)
    assert "out.qc: 0.19 s" in capsys.readouterr().out


def test_a_folder_keeps_its_structure_and_other_rates_come_back_in_their_own_length(codec, tmp_path):
    write(tmp_path / "in" / "a.wav", 2000)
    write(tmp_path / "in" / "deep" / "er" / "b.flac.wav", 4411, 1, rate=44100)
    assert run("encode", "in", "codes") == run("decode", "codes", "out", "--original-rate") == 0
    infos = {p.relative_to(tmp_path / "out").as_posix(): soundfile.info(p) for p in (tmp_path / "out").rglob("*.wav")}
    assert {name: (i.frames, i.samplerate) for name, i in infos.items()} == {
        "a.wav": (2000, 16000),
        "deep/er/b.flac.wav": (4411, 44100),
    }
