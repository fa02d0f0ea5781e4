"""Codecs of others are measured by the files that their own programs write."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from evaluation_signals import voice

from qcodec import AllCodebooks, DacCodec, export_dac, residual_vq
from qcodec.cli import main
from qcodec.evaluation.file_codec import spread
from qcodec.evaluation.measure import measure
from qcodec.evaluation.peers import EnCodec, Snac
from qcodec.evaluation.quality import METRICS

MEL = [metric for metric in METRICS if metric.name in ("mel", "si_sdr")]


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    quantizer = residual_vq(16, 3, 32, 4, AllCodebooks())
    codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 4), decoder_dim=8).eval()
    export_dac(codec, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.fixture
def recording(tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "voice.wav", voice(1.0), 16000, subtype="FLOAT")
    return tmp_path / "in" / "voice.wav"


def table(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_stock_dac_is_measured_by_its_own_files_and_agrees_with_ours(weights, recording, tmp_path):
    words = ["--checkpoint", "weights.pth", "--codecs", "dac=weights.pth", "--device", "cpu", "--metrics", "si_sdr"]
    assert main(["evaluate", "in", *words]) == 0
    rows = table(tmp_path / "evaluation/evaluation.csv")
    ours, stock = ([row for row in rows if row["model"] == name] for name in ("weights", "dac"))
    assert [row["level"] for row in stock] == ["1", "2", "3"]
    for mine, theirs in zip(ours, stock, strict=True):
        assert float(theirs["si_sdr"]) == pytest.approx(float(mine["si_sdr"]), abs=0.05)  # its loudness is another
        assert float(theirs["nominal_kbps"]) == pytest.approx(float(mine["nominal_kbps"]), rel=0.01)  # it pads a frame
        assert float(theirs["kbps"]) == pytest.approx(
            float(theirs["nominal_kbps"]) * 16 / 5, rel=1e-3
        )  # 16 bits a code
        assert float(theirs["file_kbps"]) > float(theirs["kbps"])


@pytest.mark.parametrize(("kind", "rates"), [(EnCodec, [1.5, 24.0]), (Snac, None)])
def test_codecs_of_other_packages_decode_their_files_to_what_their_models_make(kind, rates, tmp_path):
    torch.manual_seed(0)
    codec, audio = kind(), torch.from_numpy(voice(0.6)).float()
    soundfile.write(tmp_path / "stereo.wav", np.stack([audio, audio.flip(0)], 1), codec.sample_rate, subtype="FLOAT")
    levels = codec.levels(2)
    found = list(measure(codec, tmp_path / "stereo.wav", levels, MEL))
    assert all("mel" in each.quality.values for each in found)
    seconds = len(audio) / codec.sample_rate
    (file,) = codec.encode(audio[None], levels[:1])
    assert codec.decode(file.content).shape == (1, len(audio))
    for each, level in zip(found, levels, strict=True):
        assert each.kbps == pytest.approx(each.nominal_kbps, rel=0.01)
        if rates:
            assert each.nominal_kbps == pytest.approx(2 * level, rel=0.05)  # a channel each
    with torch.no_grad():
        if rates:
            codec.model.set_target_bandwidth(levels[0])
        own = codec.model(audio[None, None])
    own = own if isinstance(own, torch.Tensor) else own[0]
    if rates:  # SNAC's decoder draws noise
        torch.testing.assert_close(codec.decode(file.content)[0], own[0, 0, : len(audio)], rtol=1e-4, atol=1e-5)
    assert found[0].seconds == pytest.approx(seconds)


def test_a_codec_of_ones_own_is_a_class_with_three_things(recording, tmp_path):
    assert (
        main(["evaluate", "in", "--codecs", "eight_bit_codec.EightBit=7", "--anchors", "flac", "--metrics", "si_sdr"])
        == 0
    )
    two, seven, flac = table(tmp_path / "evaluation/evaluation.csv")
    assert (two["model"], two["level"], seven["level"], flac["model"]) == ("EightBit", "2", "7", "flac")
    assert float(seven["si_sdr"]) > float(two["si_sdr"]) + 20
    assert float(seven["kbps"]) == pytest.approx(128)
    assert float(seven["nominal_kbps"]) == pytest.approx(112)
    assert float(seven["file_kbps"]) == pytest.approx(128 + 3 * 8 / 1000)


def test_several_processes_measure_what_one_does(recording, tmp_path):
    for number in range(3):
        soundfile.write(tmp_path / "in" / f"{number}.wav", voice(0.5)[: 6000 + 500 * number], 16000)
    words = ["evaluate", "in", "--codecs", "eight_bit_codec.EightBit", "--output"]
    assert main([*words, "one"]) == 0
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    call = [sys.executable, "-m", "qcodec", *words, "two", "--workers", "2"]
    subprocess.run(call, check=True, timeout=100, env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
    assert table(tmp_path / "one/evaluation.csv") == table(tmp_path / "two/evaluation.csv")


def test_what_was_measured_before_an_error_is_kept_and_taken_up(recording, tmp_path, capsys, monkeypatch):
    loud = tmp_path / "in" / "z_loud.wav"
    soundfile.write(loud, np.full(8000, 0.9), 16000)
    words = ["evaluate", "in", "--codecs", "eight_bit_codec.Failing"]
    assert main(words) == 1
    assert "z_loud.wav: too loud" in capsys.readouterr().err
    part = tmp_path / "evaluation/evaluation.csv.part"
    assert [row["level"] for row in table(part)] == ["2", "8"]
    with part.open("a") as file:
        file.write("Failing,in/z_loud.wav,2,0.")  # a row that a power cut left
    soundfile.write(loud, 0.1 * voice(0.5), 16000)
    monkeypatch.setattr("eight_bit_codec.EightBit.decode", _twice(loud))
    assert main([*words, "--resume"]) == 0
    assert [(Path(row["file"]).name, row["level"]) for row in table(tmp_path / "evaluation/evaluation.csv")] == [
        ("voice.wav", "2"), ("voice.wav", "8"), ("z_loud.wav", "2"), ("z_loud.wav", "8"),
    ]  # fmt: skip
    assert not part.exists()
    assert main([*words, "--resume", "--metrics", "stft"]) == 1
    assert "has other columns: give the same --metrics" in capsys.readouterr().err


def test_rows_that_another_codec_left_under_a_name_are_measured_again(recording, tmp_path):
    words = ["evaluate", "in", "--metrics", "si_sdr", "--codecs"]
    assert main([*words, "eight_bit_codec.EightBit=5"]) == 0
    assert main([*words, "eight_bit_codec.EightBit=8", "--resume"]) == 0
    rows = table(tmp_path / "evaluation/evaluation.csv")
    assert [row["level"] for row in rows] == ["2", "8"]
    assert main([*words, "eight_bit_codec.EightBit=8", "--resume"]) == 0
    assert table(tmp_path / "evaluation/evaluation.csv") == rows


def _twice(path):
    """Return a decoder that may be called for the two levels of one file alone."""
    from eight_bit_codec import EightBit

    decode, calls = EightBit.decode, []

    def counted(self, content):
        calls.append(1)
        assert len(calls) <= 2, "what was there is measured again"
        return decode(self, content)

    return counted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--codecs", "dac"], "--codecs dac: give its weights, such as dac=PATH"),
        (["--codecs", "snac=nowhere"], "give its weights, such as snac=PATH"),
        (["--codecs", "opus"], "choose of dac, encodec, snac, or a class such as my_module.MyCodec"),
        (["--codecs", "eight_bit_codec.Sixteen"], "choose of dac, encodec, snac, or a class"),
        (["--codecs", "eight_bit_codec.EightBit", "--anchors", "opus"], "opus of 11025 Hz cannot be written"),
        (["--codecs", "io.StringIO"], "StringIO is no qcodec.FileCodec"),
        ([], "there is no codec to measure: give --checkpoint or --codecs"),
        (["--codecs", "eight_bit_codec.EightBit", "--workers", "-1"], "--workers -1: give a number of processes"),
    ],
)
def test_what_is_no_codec_is_refused_with_the_remedy(words, told, recording, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("eight_bit_codec.EightBit.rate", 11025)
    assert main(["evaluate", "in", *words]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "evaluation").exists()


def test_levels_are_spread_from_the_first_to_the_last():
    assert spread([1, 2, 3], 5) == (1, 2, 3)
    assert spread([1.5, 3.0, 6.0, 12.0, 24.0], 2) == (1.5, 24.0)
    assert spread([4, 5], 1) == (4,)
