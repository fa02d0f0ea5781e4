import csv
import weakref

import pytest
import soundfile
import torch
from evaluation_signals import voice

from qcodec import AllCodebooks, DacCodec, ImportanceMask, export_dac, residual_vq
from qcodec.audio.reading import recording_of
from qcodec.bitstream.header import header_bytes, read_header
from qcodec.cli import main
from qcodec.losses.spectral import MelLoss


@pytest.fixture
def codecs(tmp_path):
    made = {}
    for name, allocator in (("cbr", AllCodebooks()), ("vbr", ImportanceMask(16, widths=(4,)))):
        torch.manual_seed(0)
        quantizer = residual_vq(16, 3, 32, 4, allocator)
        made[name] = DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8).eval()
        export_dac(made[name], tmp_path / f"{name}.pth")
    return made


@pytest.fixture
def audio(tmp_path):
    (tmp_path / "in").mkdir()
    noise = 0.1 * torch.randn(3001, generator=torch.Generator().manual_seed(0))
    soundfile.write(tmp_path / "in" / "a.wav", noise.numpy(), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "in" / "b.wav", noise[:2000].flip(0).numpy(), 16000, subtype="FLOAT")
    return noise


def table(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_rate_is_that_of_the_encoded_file_and_distance_that_of_the_models_own_output(codecs, audio, tmp_path):
    assert main(["evaluate", "in", "--checkpoint", "cbr.pth", "vbr.pth", "--device", "cpu", "--output", "out"]) == 0
    rows = table(tmp_path / "out" / "evaluation.csv")
    assert [(row["model"], row["file"][-5:]) for row in rows].count(("cbr", "a.wav")) == 3
    assert [(row["model"], row["file"][-5:]) for row in rows].count(("vbr", "b.wav")) == 8
    (row,) = [r for r in rows if r["model"] == "cbr" and r["file"].endswith("a.wav") and float(r["level"]) == 2]
    assert main(["encode", "in/a.wav", "a.qc", "--checkpoint", "cbr.pth", "--device", "cpu", "--level", "2"]) == 0
    with open(tmp_path / "a.qc", "rb") as file:
        header = header_bytes(read_header(file))
    size = (tmp_path / "a.qc").stat().st_size - len(header)
    assert float(row["kbps"]) == pytest.approx(size * 8 / (3001 / 16000) / 1000, rel=1e-4)
    with torch.no_grad():
        own = MelLoss(16000)(codecs["cbr"](audio[None, None], level=2).audio, audio[None, None])
    assert float(row["mel"]) == pytest.approx(own.item(), rel=1e-4)
    assert (tmp_path / "out" / "rate_mel.png").read_bytes()[:4] == b"\x89PNG"


def test_the_rate_of_every_recording_grows_with_the_level(codecs, audio, tmp_path):
    assert main(["evaluate", "in", "--checkpoint", "vbr.pth", "--device", "cpu", "--points", "4"]) == 0
    for name in ("a.wav", "b.wav"):
        rates = [float(r["kbps"]) for r in table(tmp_path / "evaluation" / "evaluation.csv") if name in r["file"]]
        assert rates == sorted(rates)
        assert rates[-1] > rates[0]


def test_the_encoder_sees_each_recording_once_whatever_the_number_of_levels(codecs, audio, monkeypatch):
    seen, encode = [], DacCodec.embed

    def counted(self, x):
        seen.append(x.shape)
        return encode(self, x)

    monkeypatch.setattr(DacCodec, "embed", counted)
    words = ["evaluate", "in", "--checkpoint", "vbr.pth", "--device", "cpu", "--points"]
    assert main([*words, "1"]) == 0
    once = seen.copy()
    assert main([*words, "4"]) == 0
    assert seen == once + once


def test_one_recording_at_a_time_is_in_memory(codecs, audio, monkeypatch):
    held = []

    def noted(target, rate):
        assert [reference for reference in held if reference() is not None] == []
        held.append(weakref.ref(target))
        return recording_of(target, rate)

    monkeypatch.setattr("qcodec.evaluation.own.recording_of", noted)
    assert main(["evaluate", "in", "--checkpoint", "vbr.pth", "--device", "cpu", "--points", "2"]) == 0
    assert len(held) == 2


def test_nothing_is_written_where_something_is_missing(codecs, audio, tmp_path, capsys):
    assert main(["evaluate", "in", "--checkpoint", "cbr.pth", "absent.pth", "--device", "cpu"]) == 1
    assert "absent.pth" in capsys.readouterr().err
    assert main(["evaluate", "in", "--checkpoint", "cbr.pth", "--points", "0"]) == 1
    assert "--points 0 measures nothing" in capsys.readouterr().err
    assert not (tmp_path / "evaluation").exists()


def test_a_recording_too_short_to_compare_has_an_empty_cell_and_its_reason(codecs, audio, tmp_path):
    soundfile.write(tmp_path / "in" / "short.wav", audio[:500].numpy(), 16000, subtype="FLOAT")
    assert main(["evaluate", "in", "--checkpoint", "cbr.pth", "--device", "cpu", "--points", "1"]) == 0
    *others, short = table(tmp_path / "evaluation" / "evaluation.csv")
    assert (short["mel"], short["notes"][:44]) == ("", "mel ValueError: the signals have 500 samples")
    assert all(row["mel"] and not row["notes"] for row in others)


def test_eleven_models_are_measured_and_drawn(codecs, audio, tmp_path):
    models = [f"{index}.pth" for index in range(11)]
    for name in models:
        (tmp_path / name).write_bytes((tmp_path / "cbr.pth").read_bytes())
    words = ["--checkpoint", *models, "--device", "cpu", "--points", "2"]
    assert main(["evaluate", "in/b.wav", *words]) == 0
    assert {row["model"] for row in table(tmp_path / "evaluation/evaluation.csv")} == {str(n) for n in range(11)}
    assert (tmp_path / "evaluation/rate_mel.png").stat().st_size > 10_000


def test_all_metrics_and_anchors_are_columns_and_rows_with_reasons_for_empty_cells(codecs, tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "voice.wav", voice(1.5), 16000)
    words = ["evaluate", "in", "--checkpoint", "cbr.pth", "--device", "cpu", "--points", "1", "--metrics", "all"]
    assert main([*words, "--anchors", "opus", "flac"]) == 0
    rows = table(tmp_path / "evaluation" / "evaluation.csv")
    assert [row["model"] for row in rows] == ["cbr", *["opus"] * 6, "flac"]
    flac, best, worst = rows[-1], rows[1], rows[6]
    assert float(flac["stoi"]) == pytest.approx(1, abs=0.01)
    assert float(best["kbps"]) > 10 * float(worst["kbps"])
    for name in ("stoi", "si_sdr", "visqol_speech"):
        assert float(best[name]) > float(worst[name])
    assert all(row["visqol_audio"] == "" and "visqol_audio is for 32000 Hz" in row["notes"] for row in rows)
    assert float(rows[0]["file_kbps"]) > float(rows[0]["kbps"])
    assert int(best["delay"]) == 0


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--metrics", "pesk", "choose of all, mel, stft, si_sdr"), ("--anchors", "aac", "choose of opus, vorbis")],
)
def test_an_unknown_metric_or_anchor_is_named(option, value, told, codecs, audio, capsys):
    assert main(["evaluate", "in", "--checkpoint", "cbr.pth", "--device", "cpu", option, value]) == 1
    assert told in capsys.readouterr().err
