"""Gumbel-Rao, ReinMax-Rao and ReinMax-CV: held against integrals, rejection sampling and sums by hand in float64."""

import math

import pytest
import torch
from scipy.integrate import quad
from torch.nn import functional as F

from qcodec import ZGR, FixedCodebook, GumbelRao, LearnedCodebook, ReinMax, ReinMaxCV, ReinMaxRao
from qcodec.quantizers import gumbel_rao, logit_estimator

SHARPNESS, TEMPERATURE = 0.7, 0.6


def gradient_of_theta(estimator, theta, a, frames=1):
    """Return the codes ``(T,)``, and what ``theta`` gets, ``(T, K)``, where the weights are worth ``a`` ``(K,)``."""

    class Given(type(estimator)):
        def theta(self, z, codebook):
            return logits[None, None]

    logits = theta.expand(frames, -1).clone().requires_grad_()
    estimator.__class__ = Given
    codebook = FixedCodebook(len(theta), 1).double()
    codebook.weight.copy_(a[:, None])
    selected = estimator.select(torch.zeros(1, 1, frames, dtype=torch.float64), codebook)
    (gradient,) = torch.autograd.grad(selected.z_hat.sum(), logits)
    return selected.codes.flatten(), gradient


def through_softmax(p, a):
    return p * (a - (p * a).sum(-1, keepdim=True))


def conditional_slope(log_odds, temperature):
    """Return the mean of ``p (1 - p) / temperature`` where the first of two points wins, by quadrature.

    The difference of two Gumbel numbers is logistic.
    """

    def slope(noise):
        p = 1 / (1 + math.exp(-(log_odds + noise) / temperature))
        return p * (1 - p) / temperature * math.exp(-noise) / (1 + math.exp(-noise)) ** 2

    within = quad(slope, -log_odds, -log_odds + 40 * max(temperature, 1e-3), epsabs=1e-12, limit=500)[0]
    return within * (1 + math.exp(-log_odds))


def of_first(estimator, frames=200_000):
    """Return the mean gradient of the first logit over the frames that drew the first point."""
    torch.manual_seed(0)
    codes, gradient = gradient_of_theta(estimator, THETA, A, frames)
    return gradient[codes == 0, 0].mean().item()


THETA, A = torch.tensor([0.4, -0.3], dtype=torch.float64), torch.tensor([1.3, -0.4], dtype=torch.float64)


def test_gumbel_raos_gradient_of_two_points_is_an_integral():
    expected = conditional_slope(0.7, TEMPERATURE) * 1.7
    assert of_first(GumbelRao(TEMPERATURE, draws=2)) == pytest.approx(expected, rel=0.01)


def test_reinmax_raos_gradient_of_two_points_is_an_integral():
    p = THETA.softmax(-1)[0].item()
    log_odds = math.log((p + 1) / (1 - p))
    expected = (2 * conditional_slope(log_odds, TEMPERATURE) - p * (1 - p) / 2) * 1.7
    assert of_first(ReinMaxRao(TEMPERATURE, draws=2)) == pytest.approx(expected, rel=0.01)


def test_gumbel_raos_mean_tends_to_zgr_at_temperature_zero():
    assert conditional_slope(0.7, 1e-4) * 1.7 == pytest.approx(of_first(ZGR(), 100), rel=1e-3)


@pytest.mark.parametrize("size", [3, 6])
def test_the_noise_on_condition_of_a_sample_is_that_of_rejection_sampling(size):
    torch.manual_seed(size)
    log_p = torch.randn(size, dtype=torch.float64).log_softmax(-1)
    gumbel = -torch.empty(200_000, size, dtype=torch.float64).exponential_().log() + log_p
    kept = gumbel[gumbel.argmax(-1) == 1]
    sample = F.one_hot(torch.tensor(1), size).double().expand(100_000, size)
    found = gumbel_rao.perturbed_to(log_p.expand(100_000, size), sample)
    assert (found.argmax(-1) == 1).all()
    error = (kept.var(0) / len(kept) + found.var(0) / len(found)).sqrt()
    assert ((found.mean(0) - kept.mean(0)).abs() < 5 * error).all()
    torch.testing.assert_close(found.std(0), kept.std(0), rtol=0.02, atol=0)
    torch.testing.assert_close(found.T.cov(), kept.T.cov(), rtol=0.1, atol=0.03)


def test_reinmax_cv_adds_the_difference_of_two_gumbel_softmax_terms_to_reinmax(monkeypatch):
    theta, a, draws, weight = torch.randn(5).double(), torch.randn(5).double(), 3, 1.5
    numbers = [torch.empty(1, 1, 1, 5, dtype=torch.float64).exponential_() for _ in range(1 + draws)]
    rest = iter(numbers)
    for module in (logit_estimator, gumbel_rao):
        monkeypatch.setattr(module, "exponential_like", lambda x: next(rest))
    code, found = gradient_of_theta(ReinMaxCV(TEMPERATURE, 1.0, draws, weight), theta, a)
    pi, one_hot = theta.softmax(-1), F.one_hot(code[0], 5).double()
    m = (pi + one_hot) / 2
    expected = 2 * through_softmax(m, a) - through_softmax(pi, a) / 2
    own = ((m.log() - numbers[0].flatten().log()) / TEMPERATURE).softmax(-1)
    expected -= weight * through_softmax(own, a) / TEMPERATURE
    for number in (each.flatten() for each in numbers[1:]):
        noisy = -(number / m + number[code]).log()
        noisy[code] = -number[code].log()
        p = (noisy / TEMPERATURE).softmax(-1)
        expected += weight * through_softmax(p, a) / TEMPERATURE / draws
    torch.testing.assert_close(found[0], expected)


def test_reinmax_cv_without_a_weight_is_reinmax_at_temperature_1_sample_by_sample():
    codebook = LearnedCodebook(6, 3, "euclidean").double()
    z, g = torch.randn(2, 2, 3, 40, dtype=torch.float64)
    found = []
    for estimator in (ReinMaxCV(0.5, SHARPNESS, draws=1, weight=0.0), ReinMax(1.0, SHARPNESS)):
        torch.manual_seed(0)
        given = z.clone().requires_grad_()
        selected = estimator.select(given, codebook)
        found.append((selected.codes, *torch.autograd.grad((selected.z_hat * g).sum(), (given, codebook.weight))))
    torch.testing.assert_close(*found)
