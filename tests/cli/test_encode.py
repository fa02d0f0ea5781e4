"""The commands `encode` and `decode`."""

import os

import numpy as np
import pytest
import soundfile
import torch

from qcodec import DacCodec, residual_vq
from qcodec.cli import main
from qcodec.codecs.dac.weights import export_dac


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def write(path, *shape, rate=16000, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * draw(*shape, seed=seed).numpy(), rate, subtype="FLOAT")


@pytest.fixture
def codec(tmp_path):
    torch.manual_seed(0)
    codec = DacCodec(residual_vq(16, 3, 32, 4), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8).eval()
    export_dac(codec, tmp_path / "model.pth")
    return codec


def run(*words):
    return main([str(words[0]), "--checkpoint", "model.pth", "--device", "cpu", *map(str, words[1:])])


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


def test_an_interrupted_folder_goes_on_with_what_is_missing(codec, tmp_path, capsys):
    for name in "abcd":
        write(tmp_path / "in" / f"{name}.wav", 1000, seed=ord(name))
    assert run("encode", "in", "codes") == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "codes").iterdir()}
    (tmp_path / "codes/a.qc").unlink()
    (tmp_path / "codes/b.qc").write_bytes(before["b.qc"][:-9])
    write(tmp_path / "in" / "c.wav", 900, seed=5)
    capsys.readouterr()
    assert run("encode", "in", "codes") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("there already") for line in lines] == [False, False, False, True]
    after = {p.name: p.read_bytes() for p in (tmp_path / "codes").iterdir()}
    assert [after[name] == before[name] for name in ("a.qc", "b.qc", "c.qc", "d.qc")] == [True, True, False, True]
    assert run("encode", "in", "codes", "--level", 1) == 0
    assert "there already" not in capsys.readouterr().out


def test_files_of_an_older_checkpoint_are_encoded_again(codec, tmp_path, capsys):
    write(tmp_path / "in" / "a.wav", 1000)
    assert run("encode", "in", "codes") == 0
    later = (tmp_path / "codes" / "a.qc").stat().st_mtime + 10
    os.utime(tmp_path / "model.pth", (later, later))
    capsys.readouterr()
    assert run("encode", "in", "codes") == 0
    assert "there already" not in capsys.readouterr().out


def test_decoding_into_the_folder_of_the_recordings_does_not_replace_them(codec, tmp_path, capsys):
    write(tmp_path / "in" / "a.wav", 1000)
    before = (tmp_path / "in" / "a.wav").read_bytes()
    assert run("encode", "in", "in") == 0
    assert run("decode", "in", "in") == run("decode", "in/a.qc", "in") == 1
    assert "would be replaced: give another folder" in capsys.readouterr().err
    assert (tmp_path / "in" / "a.wav").read_bytes() == before


@pytest.fixture
def small_device(monkeypatch):
    """Let the codec run out of memory over more than 180 frames of 10 samples."""
    encode, decode = DacCodec.embed, DacCodec.synthesize

    def full(function, limit):
        def limited(self, x):
            if x.shape[-1] > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")
            return function(self, x)

        return limited

    monkeypatch.setattr(DacCodec, "embed", full(encode, 1800))
    monkeypatch.setattr(DacCodec, "synthesize", full(decode, 180))


def test_what_does_not_fit_a_device_is_told_in_a_line_with_the_remedy_and_the_others_go_on(
    codec, tmp_path, capsys, small_device
):
    write(tmp_path / "in" / "long.wav", 3000)
    write(tmp_path / "in" / "short.wav", 1000)
    message = "does not fit the memory of cpu: give --window less than 192 frames, or --device cpu"
    assert run("encode", "in", "codes") == 1
    error = capsys.readouterr().err
    assert f"in/long.wav {message}" in error
    assert "Traceback" not in error
    assert [p.name for p in (tmp_path / "codes").iterdir()] == ["short.qc"]
    assert run("encode", "in", "codes", "--window", 60) == 0
    assert run("decode", "codes", "out") == 1
    assert f"codes/long.qc {message}" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["short.wav"]
    assert run("decode", "codes", "out", "--window", 60) == 0
    assert run("tables", "in", "fitted.pth") == run("evaluate", "in") == 1
    told = capsys.readouterr().err
    assert told.count(f"in/long.wav {message}") == 1
    assert told.count(f"in/long.wav: the recording {message}") == 1
    assert not (tmp_path / "fitted.pth").exists()
    assert not (tmp_path / "evaluation").exists()


def test_a_name_as_long_as_the_file_system_takes_is_written(codec, tmp_path):
    name = "\u6f22" * 83
    write(tmp_path / "in" / f"{name}.wav", 1000)
    assert run("encode", "in", "codes") == 0
    assert [p.stem for p in (tmp_path / "codes").iterdir()] == [name]


def test_a_name_that_is_no_text_is_encoded_and_decoded_too(codec, tmp_path, capsys):
    write(tmp_path / "in" / "a.wav", 1000)
    try:
        (tmp_path / "in" / "a.wav").rename(tmp_path / "in" / os.fsdecode(b"\xe9.wav"))
    except OSError:
        pytest.skip("the file system takes names of text alone")
    assert run("encode", "in", "codes") == run("decode", "codes", "out") == 0
    assert [os.fsencode(p.name) for p in (tmp_path / "out").iterdir()] == [b"\xe9.wav"]
    assert r"\udce9.qc: 0.06 s" in capsys.readouterr().out


def test_a_bad_file_does_not_keep_the_others_and_leaves_nothing_behind(codec, tmp_path, capsys):
    write(tmp_path / "in" / "good.wav", 1000)
    (tmp_path / "in" / "bad.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "in" / "empty.wav", np.zeros(0), 16000)
    assert run("encode", "in", "codes") == 1
    error = capsys.readouterr().err
    assert "bad.wav is damaged or no audio" in error
    assert "empty.wav holds no samples" in error
    assert "2 of 3 files failed, the first with" in error
    assert [p.name for p in (tmp_path / "codes").iterdir()] == ["good.qc"]
    (tmp_path / "codes" / "cut.qc").write_bytes((tmp_path / "codes" / "good.qc").read_bytes()[:-2])
    assert run("decode", "codes", "out") == 1
    assert "cut.qc is cut off" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.wav"]


def test_tables_fitted_into_the_weight_file_make_its_files_smaller(codec, tmp_path, capsys):
    write(tmp_path / "in" / "a.wav", 20_000)
    assert run("encode", "in/a.wav", "plain.qc") == 0
    assert run("tables", "in", "model.pth") == 0
    assert run("encode", "in/a.wav", "fitted.qc") == 0
    assert (tmp_path / "fitted.qc").stat().st_size < 0.9 * (tmp_path / "plain.qc").stat().st_size
    assert run("decode", "plain.qc", "plain.wav") == run("decode", "fitted.qc", "fitted.wav") == 0
    assert (tmp_path / "plain.wav").read_bytes() == (tmp_path / "fitted.wav").read_bytes()


def test_tables_keep_whatever_else_a_weight_file_holds(codec, tmp_path):
    write(tmp_path / "in" / "a.wav", 2000)
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    content["epoch"] = 7
    content["metadata"] |= {"trained_on": "noise", "steps": [1, 2]}
    torch.save(content, tmp_path / "model.pth")
    assert run("tables", "in", "fitted.pth") == 0
    fitted = torch.load(tmp_path / "fitted.pth", weights_only=True)
    extras = fitted["metadata"]["qcodec"].pop("extras")
    assert set(extras) == {f"tables.codes.{index}" for index in range(len(extras))}
    for part in (fitted, content):
        weights = part.pop("state_dict")
        assert all(torch.equal(value, codec.state_dict()[name]) for name, value in weights.items())
    assert fitted == content


def test_dac_files_are_written_and_read_by_their_ending(codec, tmp_path):
    write(tmp_path / "in" / "a.wav", 8000)
    assert run("encode", "in", "codes", "--format", "dac", "--level", 2) == 0
    assert run("decode", "codes", "out") == 0
    assert soundfile.info(tmp_path / "out" / "a.wav").frames == 8000
    assert run("encode", "in/a.wav", "b.dac", "--kbps", 6) == 1
    assert not (tmp_path / "b.dac").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "absent.wav", "out.qc"], "there is no file or folder absent.wav"),
        (["encode", "in", "out.qc"], "in holds no file that ends in .wav"),
        (["encode", "a.wav", "out.wav"], "out.wav ends in none of .qc, .dac"),
        (["encode", "a.wav", "out.qc", "--level", "9"], "level=9.0 is no number of stages"),
        (["encode", "a.wav", "out.qc", "--kbps", "1"], "times the rate asked for"),
        (["encode", "a.wav", "out.qc", "--kbps", "-1"], "kbps=-1.0 is no rate"),
        (["encode", "a.wav", "out.qc", "--device", "abacus"], "--device abacus"),
        (["encode", "twice", "out"], "would both be out/a.qc: rename one"),
        (["encode", "nan.wav", "out.qc"], "nan.wav holds samples that are not finite"),
        (["decode", "a.wav", "out.wav"], "a.wav is no .qc file"),
        (["decode", "a.qc", "out.txt"], "audio cannot be written as '.txt'"),
        (["decode", "a.qc", "out.flac", "--subtype", "FLOAT"], "cannot be written as .flac with samples of FLOAT"),
    ],
)
def test_a_mistake_gives_one_line_that_names_it_and_no_output(codec, tmp_path, capsys, words, message):
    write(tmp_path / "a.wav", 500)
    write(tmp_path / "twice" / "a.wav", 500)
    (tmp_path / "twice" / "a.flac").touch()
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16000, subtype="FLOAT")
    assert run("encode", "a.wav", "a.qc") == 0
    assert run(*words) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("qcodec: error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(("out", ".out"))]


def test_a_codec_that_diverged_is_not_exported_and_codes_nothing(codec, tmp_path, capsys):
    good = (tmp_path / "model.pth").read_bytes()
    write(tmp_path / "in.wav", 2000)
    assert run("encode", "in.wav", "out.qc") == 0
    with torch.no_grad():
        codec.decoder.model[0].bias[3] = torch.nan
    with pytest.raises(ValueError, match=r"weight decoder.model.0.bias holds values that are not finite.*earlier"):
        export_dac(codec, tmp_path / "model.pth")
    assert (tmp_path / "model.pth").read_bytes() == good
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    content["state_dict"]["decoder.model.0.bias"][3] = torch.inf
    torch.save(content, tmp_path / "model.pth")
    before = (tmp_path / "out.qc").read_bytes()
    for words in (("encode", "in.wav", "out.qc"), ("decode", "out.qc", "back.wav")):
        assert run(*words) != 0
        assert "weight decoder.model.0.bias holds values that are not finite" in capsys.readouterr().err
    assert main(["export", "model.pth", "other.safetensors"]) != 0
    assert not (tmp_path / "back.wav").exists()
    assert not (tmp_path / "other.safetensors").exists()
    assert (tmp_path / "out.qc").read_bytes() == before


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_finite_weights_whose_output_is_not_finite_code_nothing(codec, tmp_path, capsys, part):
    write(tmp_path / "in.wav", 2000)
    assert run("encode", "in.wav", "out.qc") == 0
    layers = [layer for layer in getattr(codec, part).modules() if isinstance(layer, torch.nn.Conv1d)]
    with torch.no_grad():
        for layer in layers[:3]:
            layer.weight_g.fill_(1e30)
    export_dac(codec, tmp_path / "model.pth")
    words = ("encode", "in.wav", "other.qc") if part == "encoder" else ("decode", "out.qc", "other.wav")
    assert run(*words) != 0
    assert "finite" in capsys.readouterr().err or part == "decoder"  # another model's file is refused before
    assert not any(tmp_path.glob("other.*"))
