import math
import warnings

import pytest
import torch

from qcodec.audio.loudness import integrated_loudness
from qcodec.data.audio_transforms import CropTransform, limit_peak, normalize_loudness, shift_phase

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from audiotools import AudioSignal


@pytest.fixture
def audio():
    return 0.2 * torch.randn(5, 6080, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def stock(audio):
    return AudioSignal(audio[:, None].clone(), 16000)


@pytest.mark.filterwarnings("ignore")
def test_loudness_is_normalized_as_in_the_published_loader(audio, stock):
    ours = normalize_loudness(audio, integrated_loudness(audio[:, None], 16000), torch.full((5,), -16.0))
    torch.testing.assert_close(ours, stock.normalize(-16).audio_data[:, 0], rtol=1e-3, atol=1e-5)


def test_the_peak_is_limited_as_in_the_published_loader(audio, stock):
    torch.testing.assert_close(limit_peak(audio, 0.7), stock.ensure_max_of_audio(0.7).audio_data[:, 0])


@pytest.mark.parametrize("sample_rate", [16000, 44100])
@pytest.mark.parametrize("samples", [6080, 6081, 16758])
def test_the_phase_is_shifted_as_in_the_published_loader(sample_rate, samples):
    audio = torch.randn(5, samples)
    shift = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0])
    stock = AudioSignal(audio[:, None].clone(), sample_rate)
    stock.stft()
    expected = stock.shift_phase(shift[:, None, None, None]).istft().audio_data[:, 0]
    torch.testing.assert_close(shift_phase(audio, shift, sample_rate), expected, rtol=1e-4, atol=1e-5)


def test_half_a_turn_inverts_the_sign(audio):
    torch.testing.assert_close(shift_phase(audio, torch.full((5,), math.pi), 16000), -audio, rtol=1e-4, atol=1e-5)


def test_a_crop_is_as_loud_as_asked_and_within_its_peak(audio):
    levels = integrated_loudness(audio[:, None], 16000)
    draws = torch.rand(5, 2)
    loud = CropTransform(lufs=-30.0, lufs_spread=6.0, phase=0.0).apply(audio, 16000, levels, draws)
    torch.testing.assert_close(integrated_loudness(loud[:, None], 16000), -36 + 12 * draws[:, 0], atol=0.01, rtol=0)
    clipped = CropTransform(lufs=20.0, peak=0.5, phase=0.0).apply(audio, 16000, levels, draws)
    torch.testing.assert_close(clipped.abs().amax(1), torch.full((5,), 0.5))


def test_a_transform_without_loudness_and_phase_leaves_the_crop_alone(audio):
    assert torch.equal(
        CropTransform(lufs=None, peak=10.0, phase=0.0).apply(audio, 16000, torch.zeros(5), torch.zeros(5, 2)), audio
    )


@pytest.mark.parametrize("settings", [{"lufs_spread": -1.0}, {"phase": -1.0}, {"peak": 0.0}])
def test_a_transform_that_makes_no_sense_is_an_error(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        CropTransform(**settings)
