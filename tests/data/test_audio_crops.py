import numpy as np
import pytest
import soundfile
import torch
from audio_files import write_noise

from qcodec.audio.loudness import integrated_loudness
from qcodec.data.audio_crops import CropSource, Floor, read_crop
from qcodec.data.audio_index import index_audio
from qcodec.data.audio_transforms import CropTransform

PLAIN = CropTransform(lufs=None, peak=100.0, phase=0.0)


def source(folder, seconds=0.2, **settings):
    return CropSource(index_audio(folder).files, 16000, seconds, **{"transform": PLAIN, **settings})


def crop_of(file, start, samples, sample_rate):
    out = np.empty(samples, np.float32)
    read_crop(file, start, out, sample_rate)
    return out


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_crop_at_the_files_own_rate_is_a_part_of_the_file(tmp_path, suffix):
    samples = write_noise(tmp_path / f"a.{suffix}")
    (file,) = index_audio(tmp_path).files
    np.testing.assert_allclose(crop_of(file, 500, 3000, 16000), samples[500:3500, 0], atol=1e-4)


def test_several_channels_are_averaged(tmp_path):
    samples = write_noise(tmp_path / "a.wav", channels=2)
    (file,) = index_audio(tmp_path).files
    np.testing.assert_allclose(crop_of(file, 500, 3000, 16000), samples[500:3500].mean(1), atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("place", [0.0, 0.4, 1.0])
def test_a_resampled_crop_is_that_of_the_resampled_signal_also_at_the_ends(tmp_path, rate, place):
    def signal(seconds):
        return 0.5 * np.sin(2 * np.pi * 440 * seconds)

    soundfile.write(tmp_path / "a.wav", signal(np.arange(rate) / rate), rate)
    (file,) = index_audio(tmp_path).files
    start = int(place * (rate - -(-3200 * rate // 16000)))
    crop = crop_of(file, start, 3200, 16000)
    begins = start / rate + np.linspace(-1, 1, 201) / 16000  # the crop may be off by a part of a sample
    errors = [np.abs(crop - signal(begin + np.arange(3200) / 16000))[200:-200].max() for begin in begins]
    assert min(errors) < 5e-3
    assert np.abs(crop).max() < 0.55


def test_a_crop_depends_on_its_number_alone(tmp_path):
    for name in "abc":
        write_noise(tmp_path / f"{name}.wav")
    drawn = source(tmp_path)
    together = drawn.__getitems__([0, 1, 2, 3]).audio
    assert torch.equal(together[[2, 0]], drawn.__getitems__([2, 0]).audio)
    assert not torch.equal(together, source(tmp_path, seed=1).__getitems__([0, 1, 2, 3]).audio)
    assert not torch.equal(together, source(tmp_path, split="val").__getitems__([0, 1, 2, 3]).audio)


def test_every_file_is_used_once_before_any_is_used_again(tmp_path):
    for number in range(7):
        soundfile.write(tmp_path / f"{number}.wav", np.full(16000, (number + 1) / 10), 16000)
    drawn = source(tmp_path, floor=Floor(lufs=-200.0)).__getitems__(list(range(21))).audio
    levels = (drawn.mean((1, 2)) * 10).round().int().view(3, 7)
    assert all(sorted(turn) == list(range(1, 8)) for turn in levels.tolist())
    assert levels[0].tolist() != levels[1].tolist() or levels[1].tolist() != levels[2].tolist()


def test_crops_exceed_the_loudness_floor_where_the_file_does(tmp_path):
    samples = write_noise(tmp_path / "a.wav", seconds=10.0)
    samples[:80000] *= 0.0003
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    levels = integrated_loudness(source(tmp_path).__getitems__(list(range(50))).audio, 16000)
    assert (levels > -40).sum() >= 48  # one of 2^8 crops is quiet after eight draws


def test_a_quiet_file_is_used_all_the_same(tmp_path):
    write_noise(tmp_path / "a.wav", level=0.0005)
    batch = source(tmp_path, floor=Floor(tries=2)).__getitems__([0, 1])
    assert batch.audio.abs().amax((1, 2)).min() > 0
    assert batch.faults == ()


REASONS = {
    "deleted": "No such file or directory",
    "truncated": "cannot be read",
    "overwritten": "cannot be read",
    "of another rate": "has changed",
    "silent": "is silent",
    "not finite": "not finite",
}


def damaged(tmp_path, kind):
    """Give a source of four good files and one that turns out to be bad."""
    for name in "abcd":
        write_noise(tmp_path / f"{name}.flac")
    path = tmp_path / ("bad.wav" if kind == "not finite" else "bad.flac")
    if kind == "silent":
        soundfile.write(path, np.zeros(16000), 16000)
    elif kind == "not finite":
        soundfile.write(path, np.full(16000, np.nan), 16000, subtype="FLOAT")
    else:
        write_noise(path)
    drawn = source(tmp_path)
    if kind == "deleted":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "overwritten":
        path.write_bytes(b"no sound")
    elif kind == "of another rate":
        write_noise(path, sample_rate=8000)
    return drawn


@pytest.mark.parametrize("kind", REASONS)
def test_another_file_takes_the_place_of_one_that_turns_bad(tmp_path, kind):
    batch = damaged(tmp_path, kind).__getitems__(list(range(10)))
    assert batch.audio.isfinite().all()
    assert integrated_loudness(batch.audio, 16000).min() > -40
    assert {fault.path.rsplit("/", 1)[1].split(".")[0] for fault in batch.faults} == {"bad"}
    assert REASONS[kind] in batch.faults[0].reason


def test_a_folder_that_is_gone_is_an_error_and_no_silence(tmp_path):
    write_noise(tmp_path / "a.wav")
    drawn = source(tmp_path)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(OSError, match="16 files in a row"):
        drawn.__getitems__([0])
