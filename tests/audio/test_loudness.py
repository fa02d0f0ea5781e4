import warnings

import pytest
import torch

from qcodec.audio.loudness import LoudnessMeter, integrated_loudness

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from audiotools import AudioSignal


def speechlike(clips, channels, samples):
    envelope = torch.rand(clips, channels, samples // 800 + 1).square().repeat_interleave(800, -1)[..., :samples]
    return 0.3 * envelope * torch.randn(clips, channels, samples)


@pytest.mark.parametrize("sample_rate", [16000, 24000, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.2, 0.38, 0.5, 3.01])
def test_loudness_equals_that_of_the_published_loader(sample_rate, seconds):
    audio = speechlike(3, 1, int(seconds * sample_rate)) * torch.tensor([0.003, 0.1, 1.0])[:, None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = AudioSignal(audio.clone(), sample_rate).loudness()
    torch.testing.assert_close(integrated_loudness(audio, sample_rate), expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("seconds", [0.2, 0.38, 3.01])
@pytest.mark.parametrize("part", [7, 1600, 65536])
def test_audio_in_parts_of_any_length_has_the_loudness_of_the_whole(part, seconds):
    audio, meter = speechlike(2, 2, int(seconds * 16000)), LoudnessMeter(16000)
    for piece in audio.split(part, -1):
        meter.add(piece)
    torch.testing.assert_close(meter.loudness(), integrated_loudness(audio, 16000), atol=1e-5, rtol=0)


def test_two_equal_channels_are_three_decibels_louder_than_one():
    audio = speechlike(1, 1, 48000)
    difference = integrated_loudness(audio.expand(1, 2, -1), 48000) - integrated_loudness(audio, 48000)
    assert difference.item() == pytest.approx(3.01, abs=0.01)


def test_pauses_do_not_lower_the_loudness():
    audio = speechlike(1, 1, 480000)
    paused = torch.cat([audio, torch.zeros(1, 1, 480000)], -1)
    assert integrated_loudness(paused, 48000).item() == pytest.approx(integrated_loudness(audio, 48000).item(), abs=0.2)


def test_silence_has_the_lowest_loudness_and_damaged_samples_have_none():
    audio = torch.zeros(2, 1, 16000)
    audio[1, 0, 100] = torch.inf
    loudness = integrated_loudness(audio, 16000)
    assert loudness[0] == -70
    assert loudness[1].isnan()


def test_audio_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"\(2, 100\)"):
        integrated_loudness(torch.zeros(2, 100), 16000)
    with pytest.raises(ValueError, match=r"\(2, 6, 100\)"):
        LoudnessMeter(16000).add(torch.zeros(2, 6, 100))
