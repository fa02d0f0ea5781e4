import warnings

import librosa
import pytest
import torch
from audiotools import AudioSignal
from dac.nn.loss import MelSpectrogramLoss

from qcodec.losses.spectral import MELS, WINDOWS, MelLoss, mel_filters


def draw(*shape, seed=0, scale=0.1):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stock(sample_rate, estimate, target):
    """Compute the loss of dac with the settings of its published models."""
    loss = MelSpectrogramLoss(
        n_mels=list(MELS), window_lengths=list(WINDOWS), mel_fmin=[0.0] * 7, mel_fmax=[None] * 7, pow=1.0,
        clamp_eps=1e-5, mag_weight=0.0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters|stft_data changed shape", UserWarning)
        return loss(AudioSignal(estimate, sample_rate), AudioSignal(target, sample_rate))


def with_gradient(loss, x):
    x = x.clone().requires_grad_()
    value = loss(x)
    value.backward()
    return value.detach(), x.grad


def signals(kind, length):
    if kind == "noise":
        return draw(2, 1, length), draw(2, 1, length, seed=1)
    if kind == "faint":  # most of it below the floor
        return draw(2, 1, length, scale=1e-5), draw(2, 1, length, seed=1, scale=3e-6)
    silence = torch.zeros(1, 1, length)
    return torch.cat([draw(1, 1, length), silence]), torch.cat([silence, draw(1, 1, length)])


@pytest.mark.parametrize(("sample_rate", "length"), [(16000, 6080), (24000, 9120), (44100, 16758), (16000, 1025)])
@pytest.mark.parametrize("kind", ["noise", "faint", "silence"])
def test_value_and_gradient_are_those_of_dac(sample_rate, length, kind):
    estimate, target = signals(kind, length)
    expected, expected_gradient = with_gradient(lambda x: stock(sample_rate, x, target), estimate)
    found, gradient = with_gradient(lambda x: MelLoss(sample_rate)(x, target), estimate)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert (
        gradient - expected_gradient
    ).norm() <= 1e-3 * expected_gradient.norm()  # L1 turns over where two bins are equal


@pytest.mark.parametrize("length", [1025, 2047, 5001])
def test_a_length_that_is_no_multiple_of_a_hop_is_taken_whole(length):
    estimate, target = signals("noise", length)
    torch.testing.assert_close(MelLoss(16000)(estimate, target), stock(16000, estimate, target), rtol=1e-5, atol=0)
    later = estimate.clone()
    later[..., -1] += 0.1
    assert MelLoss(16000)(later, target) != MelLoss(16000)(estimate, target)


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("sample_rate", [1600, 16000, 24000, 44100])
@pytest.mark.parametrize(("window", "mels"), [(32, 5), (256, 40), (2048, 320), (512, 7)])
def test_the_filters_are_those_of_librosa(sample_rate, window, mels):
    expected = torch.from_numpy(librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=mels)).T
    found = mel_filters(sample_rate, window, mels)
    torch.testing.assert_close(found, expected, rtol=0, atol=4e-5 * expected.max().item())


def test_the_gradient_is_that_of_finite_differences():
    loss, target = MelLoss(16000, windows=(16, 32), mels=(3, 4)).double(), draw(1, 1, 40, seed=1).double()
    estimate = draw(1, 1, 40).double()
    _, gradient = with_gradient(lambda x: loss(x, target), estimate)
    for at in (0, 7, 39):
        step = torch.zeros_like(estimate).index_fill_(-1, torch.tensor([at]), 1e-3)
        slope = (loss(estimate + step, target) - loss(estimate - step, target)) / 2e-3
        assert gradient[0, 0, at].item() == pytest.approx(slope.item(), rel=0.02, abs=1e-3)


def test_equal_signals_have_no_distance_and_a_finite_gradient():
    x = torch.cat([draw(1, 1, 2000), torch.zeros(1, 1, 2000)])
    value, gradient = with_gradient(lambda y: MelLoss(16000)(y, x), x)
    assert value == 0
    assert gradient.isfinite().all()


def test_the_gradient_does_not_reach_the_target():
    estimate, target = (signal.requires_grad_() for signal in signals("noise", 1200))
    MelLoss(16000)(estimate, target).backward()
    assert target.grad is None
    assert estimate.grad is not None


def test_checkpoints_hold_neither_windows_nor_filters_but_they_move_along():
    loss = MelLoss(16000)
    assert not loss.state_dict()
    assert all(buffer.device.type == "meta" for buffer in loss.to("meta").buffers())


def test_the_spectra_keep_full_precision_under_autocast():
    estimate, target = signals("noise", 1200)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = MelLoss(16000)(estimate.bfloat16(), target)
    expected = MelLoss(16000)(estimate.bfloat16().float(), target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: MelLoss(16000, windows=(64, 32), mels=(5,)),
            r"windows=\[64, 32\] and mels=\[5\] must be lists",
        ),
        (lambda: MelLoss(16000, windows=(30,), mels=(5,)), r"windows=\[30\] .* multiples of 4"),
        (lambda: MelLoss(16000, floor=0.0), "floor=0.0 must be above 0"),
        (lambda: MelLoss(16000)(draw(1, 1, 2000), draw(1, 1, 1999)), r"not \(1, 1, 2000\) and \(1, 1, 1999\)"),
        (lambda: MelLoss(16000)(draw(1, 2, 2000), draw(1, 2, 2000)), "give channels as clips of their own"),
        (lambda: MelLoss(16000)(draw(1, 1, 1024), draw(1, 1, 1024)), "1024 samples, but a window of 2048 needs 1025"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
