import math
from functools import lru_cache

import pytest
import torch

from qcodec.rate import discrete_curve, effective_bits, empirical_entropy, gaussian_source, kbps


@lru_cache
def rate_distortion_curve(levels):
    return discrete_curve(*gaussian_source(levels))


@pytest.mark.parametrize(
    ("bits", "distortion"),
    [
        (0.689, 0.319),
        (0.941, 0.221),
        (1.214, 0.136),
        (1.420, 0.0835),
        (1.678, 0.0311),
        (1.803, 0.0115),
        (1.894, 0.0006),
    ],
)
def test_rate_distortion_agrees_with_published_points_of_the_four_level_source(bits, distortion):
    at = effective_bits([distortion], *rate_distortion_curve(4)).item()
    assert at == pytest.approx(bits, abs=0.006)


def test_rate_distortion_runs_from_variance_to_entropy_and_is_convex():
    rate, distortion = rate_distortion_curve(4)
    assert rate[0] == 0
    assert distortion[0] == pytest.approx(0.8846, abs=1e-4)
    assert rate[-1] == pytest.approx(1.9014, abs=1e-4)
    assert distortion[-1] == 0
    assert (rate.diff() > 0).all()
    slope = (distortion.diff() / rate.diff())[distortion[1:] > 1e-3]
    assert (slope.diff() > 0).all()


def test_two_levels_do_no_worse_than_the_binary_source_with_hamming_distortion():
    """A reproduction may lie between the levels here, so the binary source's closed form is an upper bound."""
    rate, distortion = rate_distortion_curve(2)
    crossing = distortion.clamp(1e-30, 0.25)  # the other level is 1 away: D is the probability of crossing
    entropy = -(crossing * crossing.log2() + (1 - crossing) * (1 - crossing).log2())
    assert rate[-1] == pytest.approx(1.0)
    assert (rate <= 1 - entropy + 1e-3)[distortion < 0.25].all()


def test_the_source_has_the_probabilities_of_a_rounded_normal_variable():
    value, probability = gaussian_source(4)
    assert value.tolist() == [-1.5, -0.5, 0.5, 1.5]
    inner = 0.5 * math.erf(1 / math.sqrt(2))
    torch.testing.assert_close(probability, torch.tensor([0.5 - inner, inner, inner, 0.5 - inner], dtype=torch.float64))


def test_effective_bits_are_zero_at_no_information_full_at_no_error_and_nan_for_nan():
    rate, distortion = rate_distortion_curve(4)
    bits = effective_bits([2.0, 0.8846, 0.0, math.nan], 30 * rate, distortion)
    assert bits[:3].tolist() == pytest.approx([0, 0, 57.04], abs=0.01)
    assert bits[3].isnan()


def test_empirical_entropy_is_that_of_the_histogram():
    codes = torch.randint(0, 5, (2, 3, 1000), generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, dtype=torch.float64)
    for b in range(2):
        for q in range(3):
            p = torch.bincount(codes[b, q]).double() / 1000
            expected[b] -= (p * p.log2()).sum()
    torch.testing.assert_close(empirical_entropy(codes).double(), expected, rtol=1e-5, atol=0)


def test_empirical_entropy_says_nothing_of_a_sample_that_is_too_small():
    assert empirical_entropy(torch.arange(100).view(1, 1, 100)).isnan().all()


def test_bits_and_frames_make_kilobits_per_second():
    assert kbps(90, frame_rate=44100 / 512) == pytest.approx(7.75, abs=0.01)
