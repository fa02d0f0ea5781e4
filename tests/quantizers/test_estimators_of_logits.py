"""Estimators from a codebook's logits: closed forms in float64, exact means, and independent implementations."""

import pytest
import torch
from torch.nn import functional as F

from qcodec import (
    SPIGOT,
    ZGR,
    GumbelRao,
    GumbelSoftmax,
    LearnedCodebook,
    Levels,
    ReinMax,
    ReinMaxCV,
    ReinMaxRao,
    ScalarQuantizer,
    SoftToHard,
    StochasticSTE,
    StraightThroughGumbel,
    residual_vq,
)
from qcodec.functional import project_to_simplex
from qcodec.quantizers import logit_estimator
from qcodec.schedules import Cosine, Exponential

SHARPNESS = 0.7
TEMPERED = {"gumbel": GumbelSoftmax, "gumbel_straight": StraightThroughGumbel, "reinmax": ReinMax}
TEMPERED |= {"gumbel_rao": GumbelRao, "reinmax_rao": ReinMaxRao, "reinmax_cv": ReinMaxCV}
SAMPLING = {**TEMPERED, "zgr": ZGR, "stochastic": StochasticSTE}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def codebook():
    """Make six points in three dimensions, in float64."""
    made = LearnedCodebook(6, 3, "euclidean").double()
    with torch.no_grad():
        made.weight.copy_(draw(6, 3, seed=1))
    return made


Z, G = draw(2, 3, 40), draw(2, 3, 40, seed=2)


def rows(x):
    """Bring ``(B, D, T)`` to ``(B T, D)``."""
    return x.transpose(1, 2).flatten(0, 1)


def found(estimator, codebook, z=Z, g=G):
    """Return the codes ``(B T,)``, the decoder's input, and what embedding ``(B T, D)`` and points get."""
    z = z.clone().requires_grad_()
    selected = estimator.select(z, codebook)
    of_z, of_points = torch.autograd.grad(
        (selected.z_hat * g).sum(), (z, codebook.weight), allow_unused=True, materialize_grads=True
    )
    return selected.codes.flatten(), rows(selected.z_hat.detach()), rows(of_z), of_points


def held(codebook, weights_of, z=Z, g=G):
    """Return the mean of points by ``weights_of(theta)``, and what it hands to embedding and points.

    The distances are written out, and so independent of the codebook's own logits.
    """
    z, points = rows(z).clone().requires_grad_(), codebook.weight
    weights = weights_of(-SHARPNESS * (z[:, None] - points).square().sum(-1))
    z_hat = weights @ points
    return z_hat.detach(), *torch.autograd.grad((z_hat * rows(g)).sum(), (z, points))


def with_gradient(value, theta, gradient_of):
    """Return a value whose gradient ``a`` becomes ``gradient_of(a)`` for ``theta``."""

    class Given(torch.autograd.Function):
        @staticmethod
        def forward(ctx, theta):
            return value.clone()

        @staticmethod
        def backward(ctx, a):
            return gradient_of(a)

    return Given.apply(theta)


def jacobian(p):
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


def times(matrix, vector):
    return (matrix @ vector[:, :, None])[:, :, 0]


def reinmax_by_hand(one_hot, temperature):
    def weights(theta):
        m, pi = ((theta / temperature).softmax(-1) + one_hot) / 2, theta.softmax(-1)
        return with_gradient(
            one_hot, theta, lambda a: 2 * times(jacobian(m), a).detach() - times(jacobian(pi), a).detach() / 2
        )

    return weights


def zgr_by_hand(one_hot):
    def weights(theta):
        p = theta.softmax(-1)
        darn = (one_hot - p.detach()) * (theta.log_softmax(-1) * one_hot).sum(-1, keepdim=True)  # score function
        soft = (p + darn) / 2
        return one_hot + soft - soft.detach()

    return weights


def test_the_straight_through_gumbel_softmax_is_torchs_for_the_same_noise(monkeypatch, codebook):
    torch.manual_seed(5)
    exponential = torch.empty(80, 6, dtype=torch.float64).exponential_()
    monkeypatch.setattr(logit_estimator, "uniform_like", lambda x, shape: exponential.neg().exp().view(x.shape).mT)
    codes, *ours = found(StraightThroughGumbel(0.6, SHARPNESS), codebook)
    torch.manual_seed(5)
    torch.testing.assert_close(tuple(ours), held(codebook, lambda theta: F.gumbel_softmax(theta, 0.6, hard=True)))
    assert torch.equal(codebook.weight[codes], ours[0])


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_reinmaxs_gradients_are_their_closed_form_and_those_of_its_authors_package(monkeypatch, codebook, temperature):
    package = pytest.importorskip("reinmax", reason="needs the package reinmax")
    codes, *ours = found(ReinMax(temperature, SHARPNESS), codebook)
    one_hot = F.one_hot(codes, 6).double()
    torch.testing.assert_close(tuple(ours), held(codebook, reinmax_by_hand(one_hot, temperature)))
    monkeypatch.setattr(torch, "multinomial", lambda p, **kwargs: codes[:, None])
    torch.testing.assert_close(tuple(ours), held(codebook, lambda theta: package.reinmax(theta, temperature)[0]))


def test_zgrs_gradients_are_the_mean_of_straight_through_and_darn(codebook):
    codes, *ours = found(ZGR(SHARPNESS), codebook)
    torch.testing.assert_close(tuple(ours), held(codebook, zgr_by_hand(F.one_hot(codes, 6).double())))


def test_zgr_is_reinmax_at_temperature_1_sample_by_sample(codebook):
    outputs = []
    for estimator in (ZGR(SHARPNESS), ReinMax(1.0, SHARPNESS)):
        torch.manual_seed(0)
        outputs.append(found(estimator, codebook))
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("make", [lambda: ReinMax(1.0, SHARPNESS), lambda: ZGR(SHARPNESS)])
def test_the_mean_gradient_is_exact_for_a_quadratic_loss(monkeypatch, codebook, make):
    """The expected loss and its gradient are written out as sums over all codes."""
    z, matrix, vector = Z[:1, :, :1], draw(3, 3, seed=3), draw(3, seed=4)
    points = codebook.weight.detach()
    loss = (points @ matrix * points).sum(-1) + points @ vector
    x = rows(z).clone().requires_grad_()
    p = (-SHARPNESS * (x - points).square().sum(-1)).softmax(-1)
    (expected,) = torch.autograd.grad(p @ loss, x)
    mean = torch.zeros(1, 3, dtype=torch.float64)
    for k in range(6):
        sample = torch.full((1, 1, 6, 1), 0.5, dtype=torch.float64)
        sample[..., k, :] = 1 - 1e-15  # the uniform number whose Gumbel noise, 34, makes it the greatest
        monkeypatch.setattr(logit_estimator, "uniform_like", lambda x, shape, sample=sample: sample)
        g = points[k] @ (matrix + matrix.t()) + vector
        codes, _, of_z, _ = found(make(), codebook, z, g.view(1, 3, 1))
        assert codes.item() == k
        mean += p[k].detach() * of_z
    torch.testing.assert_close(mean, expected)


@pytest.mark.parametrize("step", [0.1, 2.0, 100.0])
def test_spigots_gradients_are_what_a_projected_step_takes_away(codebook, step):
    package = pytest.importorskip("entmax", reason="needs the package entmax")
    codes, *ours = found(SPIGOT(step, SHARPNESS), codebook)
    one_hot = F.one_hot(codes, 6).double()
    expected = held(
        codebook,
        lambda theta: with_gradient(one_hot, theta, lambda a: one_hot - package.sparsemax(one_hot - step * a, -1)),
    )
    torch.testing.assert_close(tuple(ours), expected)
    assert torch.equal(codes, codebook.nearest(Z).flatten())


def test_spigots_gradient_of_the_logits_is_bounded_and_zero_where_no_other_point_is_better():
    vertex = F.one_hot(torch.tensor([1]), 4).double()
    worse, better = torch.tensor([[3.0, -1.0, 2.0, 2.5]]).double(), torch.tensor([[-1e9, 1e9, 3.0, 0.0]]).double()
    assert torch.equal(project_to_simplex(vertex - 5 * worse), vertex)
    assert (vertex - project_to_simplex(vertex - 5 * better)).norm().item() == pytest.approx(2**0.5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("size", [2, 5, 200])
def test_the_projection_onto_the_simplex_is_entmaxs(size, scale):
    package = pytest.importorskip("entmax", reason="needs the package entmax")
    x = scale * draw(50, size)
    torch.testing.assert_close(project_to_simplex(x), package.sparsemax(x, -1))
    assert project_to_simplex(x.bfloat16() * 1e30).isfinite().all()


def test_the_soft_assignment_is_a_softmax_of_distances_with_its_gradients(codebook):
    codes, *ours = found(SoftToHard(1 / SHARPNESS), codebook)
    torch.testing.assert_close(tuple(ours), held(codebook, lambda theta: theta.softmax(-1)))
    assert torch.equal(codes, codebook.nearest(Z).flatten())


def test_the_soft_assignment_hardens_to_the_nearest_point(codebook):
    estimator = SoftToHard(Exponential(1.0, 0.5))
    gaps = []
    for _ in range(30):
        selected = estimator.select(Z, codebook)
        gaps.append((selected.z_hat - selected.z_q).norm().item())
    assert gaps[0] > 1
    assert gaps[-1] < 1e-6 * gaps[0]


def test_a_stochastic_choice_passes_the_gradient_of_the_identity(codebook):
    codes, z_hat, of_z, of_points = found(StochasticSTE(SHARPNESS), codebook)
    assert torch.equal(z_hat, codebook.weight[codes])
    assert torch.equal(of_z, rows(G))
    assert not of_points.any()


@pytest.mark.parametrize("name", SAMPLING)
def test_codes_are_sampled_as_often_as_their_probability(codebook, name):
    z = Z[:1, :, :1].expand(1, 3, 40_000)
    torch.manual_seed(0)
    codes = SAMPLING[name](sharpness=SHARPNESS).select(z, codebook).codes
    share = codes.flatten().bincount(minlength=6) / 40_000
    expected = (SHARPNESS * codebook.logits(z)[0, 0, 0]).softmax(-1)
    torch.testing.assert_close(share.double(), expected.detach(), rtol=0, atol=0.01)


@pytest.mark.parametrize("value", [1e-30, 1e-4, 1e4, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_at_saturated_temperatures_ties_and_on_a_point(value, dtype):
    z = torch.tensor([-1.5, -1.0, 0.0, 0.3, 2.0, 1e4]).view(1, 2, 3).to(dtype)
    for points in (Levels(4), LearnedCodebook(5, 2)):
        made = [make(temperature=value) for make in TEMPERED.values()]
        made += [make(sharpness=value) for make in SAMPLING.values()] + [SPIGOT(value), SoftToHard(value)]
        for estimator in made:
            given = z.clone().requires_grad_()
            z_hat = estimator.select(given, points).z_hat
            z_hat.float().square().sum().backward()
            assert z_hat.isfinite().all(), estimator
            assert given.grad.isfinite().all(), estimator


def test_a_schedule_sets_the_temperature_by_the_calls_in_training_and_a_resumed_run_carries_it_on():
    def quantizer():
        return ScalarQuantizer(4, estimator=GumbelSoftmax(Exponential(1.0, 0.5), Cosine(4.0, 10)))

    def outputs(part, calls):
        made = []
        for seed in range(calls):
            torch.manual_seed(seed)
            made.append(part(Z.float()).z_hat)
        return made

    first = quantizer()
    for update, z_hat in enumerate(outputs(first, 3)):
        torch.manual_seed(update)
        fixed = GumbelSoftmax(0.5**update, Cosine(4.0, 10).value(update))
        torch.testing.assert_close(z_hat, ScalarQuantizer(4, estimator=fixed)(Z.float()).z_hat)
    first.eval()(Z.float())
    assert first.estimator.updates_done == 3
    resumed = quantizer()
    resumed.load_state_dict(first.state_dict())
    assert torch.equal(outputs(resumed, 2)[1], outputs(first.train(), 2)[1])


def test_each_stage_of_a_residual_quantizer_counts_its_own_updates():
    quantizer = residual_vq(8, 3, 20, 3, estimator=ReinMax(Exponential(2.0, 0.9)))
    for _ in range(2):
        quantizer(torch.randn(1, 8, 5))
    assert [stage.estimator.updates_done.item() for stage in quantizer.stages] == [2, 2, 2]


def test_an_estimator_of_fixed_settings_adds_nothing_to_the_state():
    assert not ReinMax().state_dict()
    assert ReinMax().entries_independent
    assert not ReinMax(Exponential()).entries_independent


def test_a_value_that_is_no_number_stays_one_in_the_projection_onto_the_simplex():
    found = project_to_simplex(torch.tensor([[0.5, 1.5, -3.0], [0.0, torch.nan, 1.0]]))
    assert found[0].tolist() == [0, 1, 0]
    assert found[1].isnan().any()
