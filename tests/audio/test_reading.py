"""What is read of an audio file is what it holds, whatever its header says; what is written is what was asked for."""

import io
import logging

import numpy as np
import pytest
import soundfile
import torch

from qcodec import DacCodec, residual_vq
from qcodec.audio.folder import files_below
from qcodec.audio.reading import open_recording, stream_length
from qcodec.audio.writing import AudioFormat, write_audio
from qcodec.cli import main
from qcodec.codecs.dac.weights import export_dac


def tone(samples):
    return (0.3 * np.sin(np.arange(samples) / 5)).astype(np.float32)


def noise(samples):
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


def mp3(audio, xing=True):
    """Return an mp3 of variable bitrate; without its first frame, which says how long it is, readers estimate that."""
    file = io.BytesIO()
    soundfile.write(file, audio, 16000, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3)
    content = file.getvalue()
    return content if xing else content[content.index(content[:2], 4) :]


FILES = {
    "whole": lambda: mp3(tone(60000)),
    "cut_short": lambda: mp3(noise(60000))[:-8000],
    "overestimated": lambda: mp3(np.concatenate([0 * tone(30000), noise(60000)]), xing=False),
}


@pytest.mark.parametrize("name", FILES)
def test_a_recording_has_the_length_of_its_stream(tmp_path, name, caplog):
    path = tmp_path / f"{name}.mp3"
    path.write_bytes(FILES[name]())
    with caplog.at_level(logging.WARNING):
        recording = open_recording(path, 16000)
    audio = torch.cat([*recording.blocks()], 1)
    assert audio.shape == (1, recording.original_length)
    assert stream_length(path) == recording.original_length
    stated = soundfile.info(path).frames
    if name == "whole":
        assert recording.original_length == stated == 60000
        assert not caplog.text
    else:
        assert recording.original_length < stated
        assert f"its header says {stated} samples, it holds {recording.original_length}: these are" in caplog.text
        assert not torch.equal(audio[:, -10000:-5000], audio[:, -5000:])  # nothing is given twice


def test_audio_that_libsndfile_leaves_unread_is_said(tmp_path, caplog):
    """A stream that begins loud and goes on quietly is estimated to be short, and libsndfile ends there."""
    path = tmp_path / "underestimated.mp3"
    path.write_bytes(mp3(np.concatenate([noise(30000), 0.1 * tone(120000)]), xing=False))
    with caplog.at_level(logging.WARNING):
        assert open_recording(path, 16000).original_length < 140000
    assert "bytes before the file does, and what follows is not read" in caplog.text


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"x" * 5000 + b"APETAGEX" + b"\0\0\0\0\x88\x13\0\0" + bytes(16)])
def test_tags_behind_the_audio_are_no_audio(tmp_path, caplog, tag):
    path = tmp_path / "tagged.mp3"
    path.write_bytes(mp3(tone(60000)) + tag)
    with caplog.at_level(logging.WARNING):
        assert open_recording(path, 16000).original_length == 60000
    assert not caplog.text


@pytest.mark.parametrize("ending", ["mp3", "ogg", "flac"])
def test_what_follows_the_first_recording_of_a_file_is_said_to_be_left_out(tmp_path, caplog, ending):
    path = tmp_path / f"two.{ending}"
    soundfile.write(path, noise(60000), 16000)
    with caplog.at_level(logging.WARNING):
        assert open_recording(path, 16000).original_length == 60000
        assert not caplog.text
        size = path.stat().st_size
        path.write_bytes(2 * path.read_bytes())
        open_recording(path, 16000)
    assert "bytes before the file does, and what follows is not read" in caplog.text
    assert str(path) in caplog.text
    left = int(caplog.text.split("audio ends ")[1].split()[0])
    assert size / 2 < left <= size


def test_a_file_is_encoded_as_long_as_it_is(tmp_path):
    export_dac(DacCodec(residual_vq(16, 2, 8, 2), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8), "model.pth")
    (tmp_path / "a.mp3").write_bytes(FILES["overestimated"]())
    held = stream_length(tmp_path / "a.mp3")
    assert main(["encode", "a.mp3", "a.qc", "--checkpoint", "model.pth", "--device", "cpu"]) == 0
    assert main(["decode", "a.qc", "a.wav", "--checkpoint", "model.pth", "--device", "cpu"]) == 0
    assert soundfile.info("a.wav").frames == held < soundfile.info("a.mp3").frames


def test_opus_files_hold_opus(tmp_path):
    blocks = [torch.from_numpy(tone(16000))[None]]
    write_audio(tmp_path / "a.opus", blocks, 16000, AudioFormat(16000, 1, 16000))
    write_audio(tmp_path / "a.ogg", blocks, 16000, AudioFormat(16000, 1, 16000))
    assert (soundfile.info(tmp_path / "a.opus").subtype, soundfile.info(tmp_path / "a.ogg").subtype) == (
        "OPUS",
        "VORBIS",
    )


@pytest.mark.parametrize(
    ("name", "rate", "channels", "message"),
    [
        ("a.opus", 44100, 1, r"Opus has no rate of 44100 Hz, but 8000, .*: end it in .wav, .flac or .ogg"),
        ("a.mp3", 16000, 6, r".mp3 holds 2 channels and not 6: end it in .wav"),
        ("a.flac", 16000, 9, r".flac holds 8 channels and not 9: end it in .wav"),
        ("a.m4a", 16000, 1, r"audio cannot be written as '.m4a'"),
    ],
)
def test_what_a_format_does_not_hold_is_said_with_the_remedy(tmp_path, name, rate, channels, message):
    with pytest.raises(ValueError, match=message):
        write_audio(tmp_path / name, [torch.zeros(channels, 10)], rate, AudioFormat(rate, channels, 10))
    assert not any(tmp_path.glob("a.*"))


def test_the_files_of_a_folder_are_found_by_one_rule(tmp_path, caplog):
    for name in ("b.WAV", "a.flac", "._a.flac", ".hidden/c.wav", "deep/d.mp3", "e.m4a", "f.AAC", "notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "in/link").symlink_to(tmp_path / "in/deep")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert list(files_below(tmp_path / "in")) == ["a.flac", "b.WAV", "deep/d.mp3"]
    assert len(caplog.messages) == 1
    assert "holds 2 files that are left out, as .aac, .m4a cannot be read: convert them first" in caplog.text
    caplog.clear()
    assert not list(files_below(tmp_path / "in", (".qc",)))
    assert not caplog.text
