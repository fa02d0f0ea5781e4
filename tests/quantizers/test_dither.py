import math

import pytest
import torch

from qcodec import AnnealedDither, ModifiedSTE, ScalarQuantizer


def test_the_noise_has_the_stated_deviation_and_fades_linearly():
    dithered = AnnealedDither(ScalarQuantizer(), std=0.4, updates=4)
    z = torch.full((1, 1, 200_000), 0.9)
    shares = [(dithered(z).z_q == 1.5).double().mean().item() for _ in range(6)]
    expected = [
        0.5 * math.erfc(0.1 / (0.4 * left) / math.sqrt(2)) if left else 0.0 for left in (1, 0.75, 0.5, 0.25, 0, 0)
    ]
    assert shares == pytest.approx(expected, abs=5e-3)


def test_evaluation_is_that_of_the_quantizer_alone_and_counts_nothing():
    quantizer = ScalarQuantizer()
    dithered = AnnealedDither(quantizer, std=5.0, updates=10).eval()
    z = torch.randn(2, 3, 50)
    assert torch.equal(dithered(z).z_hat, quantizer(z).z_hat)
    assert dithered.done == 0


def test_a_direction_that_is_not_sent_reaches_the_codes_through_the_noise():
    z = torch.full((1, 1, 100_000), 0.5)
    moved = z + 0.05
    plain, dithered = ScalarQuantizer(estimator=ModifiedSTE()), AnnealedDither(ScalarQuantizer(), 0.3, 1000)
    assert torch.equal(plain(z).z_q, plain(moved).z_q)
    assert (dithered(moved).z_q.mean() - dithered(z).z_q.mean()).item() > 0.02


def test_a_resumed_run_carries_the_fading_on():
    first = AnnealedDither(ScalarQuantizer(), std=0.4, updates=4)
    for _ in range(3):
        first(torch.zeros(1, 1, 1))
    resumed = AnnealedDither(ScalarQuantizer(), std=0.4, updates=4)
    resumed.load_state_dict(first.state_dict())
    z = torch.randn(1, 2, 100)
    outputs = []
    for quantizer in (first, resumed):
        torch.manual_seed(1)
        outputs.append(quantizer(z).z_hat)
    assert torch.equal(*outputs)


@pytest.mark.parametrize(("std", "updates", "words"), [(-1.0, 5, "std=-1.0 is no"), (0.1, 0, "updates=0 leaves no")])
def test_settings_that_make_no_dither_are_refused(std, updates, words):
    with pytest.raises(ValueError, match=words):
        AnnealedDither(ScalarQuantizer(), std, updates)
