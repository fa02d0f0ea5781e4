"""Estimators, codebooks and quantizers against independent implementations."""

import pytest
import torch
from torch.nn import functional as F

from qcodec import FSQ, DiVeQ, EMACodebook, GumbelSoftmax, LearnedCodebook, ModifiedSTE, VectorQuantizer
from qcodec.quantizers import diveq as diveq_module
from qcodec.quantizers import logit_estimator


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def frames(z):
    """Bring ``(B, D, T)`` to the references' ``(B T, D)``."""
    return z.transpose(1, 2).flatten(0, 1)


def test_diveq_is_that_of_its_authors_package_whose_variance_is_a_standard_deviation(monkeypatch):
    package = pytest.importorskip("diveq", reason="needs the package diveq")
    theirs = package.DIVEQ(20, 4, noise_var=0.005, codebook_reset=False, allow_warning=False)
    ours = VectorQuantizer(LearnedCodebook(20, 4, "euclidean"), DiVeQ(variance=0.005**2))
    points, noise = draw(20, 4, seed=1), draw(2, 4, 30, seed=2)
    with torch.no_grad():
        theirs.codebook.copy_(points)
        ours.codebook.weight.copy_(points)
    normal = torch.distributions.normal.Normal
    monkeypatch.setattr(normal, "sample", lambda self, shape: self.scale * frames(noise))
    monkeypatch.setattr(diveq_module, "normal_like", lambda x: noise)
    z, g = draw(2, 4, 30), draw(2, 4, 30, seed=3)
    one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
    output = ours(one)
    expected, indices, _ = theirs(frames(other))
    assert torch.equal(output.codes.flatten(), indices)
    torch.testing.assert_close(frames(output.z_hat), expected)
    (output.z_hat * g).sum().backward()
    (expected * frames(g)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.codebook.weight.grad, theirs.codebook.grad, rtol=1e-4, atol=1e-5)


def test_diveqs_gradients_are_their_closed_form():
    z, c, g = (draw(3, 5, 7, seed=seed, dtype=torch.float64) for seed in range(3))
    z.requires_grad_()
    c.requires_grad_()
    torch.manual_seed(0)
    (DiVeQ(variance=0.3)(z, c) * g).sum().backward()
    torch.manual_seed(0)
    error = (c - z).detach()
    u = error + 0.3**0.5 * torch.randn_like(error)
    along = (g * u / u.norm(dim=1, keepdim=True)).sum(1, keepdim=True) * error / error.norm(dim=1, keepdim=True)
    torch.testing.assert_close(z.grad, g - along)
    torch.testing.assert_close(c.grad, along)


def test_without_noise_diveqs_gradient_of_the_embedding_is_that_of_mste_with_one_rms_a_frame():
    z, c, g = (draw(3, 5, 7, seed=seed, dtype=torch.float64) for seed in range(3))
    gradients = []
    for estimator in (DiVeQ(variance=0.0), ModifiedSTE("frame", "rms", trains_codebook=True)):
        a, b = z.clone().requires_grad_(), c.clone().requires_grad_()
        (estimator(a, b) * g).sum().backward()
        gradients.append((a.grad, b.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_gumbel_softmax_is_torchs_for_the_same_noise(monkeypatch, temperature):
    torch.manual_seed(0)
    codebook, z = LearnedCodebook(20, 4, "euclidean"), draw(2, 4, 30)
    estimator = GumbelSoftmax(temperature, sharpness=0.7)
    torch.manual_seed(5)
    exponential = torch.empty(2, 1, 30, 20).exponential_()
    monkeypatch.setattr(logit_estimator, "uniform_like", lambda x, shape: exponential.neg().exp().mT)
    one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
    selected = estimator.select(one, codebook)
    theta = -0.7 * torch.cdist(frames(other), codebook.weight).square()
    torch.manual_seed(5)
    p = F.gumbel_softmax(theta.view(2, 1, 30, 20), temperature)
    expected = (p @ codebook.weight)[:, 0].transpose(1, 2)
    torch.testing.assert_close(selected.z_hat, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(selected.codes, p.argmax(-1))
    ours, theirs = (torch.autograd.grad(out.square().sum(), [x, codebook.weight], retain_graph=True)
                    for out, x in ((selected.z_hat, one), (expected, other)))  # fmt: skip
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_gumbel_softmax_samples_codes_as_often_as_their_probability():
    codebook, z = LearnedCodebook(4, 2, "euclidean"), draw(1, 2, 1).expand(1, 2, 40_000)
    torch.manual_seed(0)
    codes = GumbelSoftmax(sharpness=0.3).select(z, codebook).codes
    share = codes.flatten().bincount(minlength=4) / 40_000
    expected = (0.3 * codebook.logits(z)[0, 0, 0]).softmax(-1)
    torch.testing.assert_close(share, expected, rtol=0, atol=0.01)


def test_an_ema_codebook_learns_as_vector_quantize_pytorchs():
    package = pytest.importorskip("vector_quantize_pytorch", reason="needs the package vector-quantize-pytorch")
    theirs = package.VectorQuantize(
        dim=4, codebook_size=10, decay=0.8, threshold_ema_dead_code=0, rotation_trick=False, commitment_weight=1.0
    )
    ours = VectorQuantizer(EMACodebook(10, 4, decay=0.8, least=0.0))
    with torch.no_grad():
        points = theirs._codebook.embed[0].clone()
        ours.codebook.weight.copy_(points)
        ours.codebook.sums.copy_(points)
    for update in range(5):
        z = draw(2, 4, 30, seed=update)
        expected, indices, loss = theirs(z.transpose(1, 2))
        output = ours(z)
        assert torch.equal(output.codes[:, 0], indices)
        torch.testing.assert_close(output.z_hat, expected.transpose(1, 2), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(output.losses["commitment"].mean(), loss.squeeze(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.codebook.weight, theirs._codebook.embed[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.codebook.counts, theirs._codebook.cluster_size[0], rtol=1e-4, atol=1e-5)


def test_a_dead_point_is_put_on_a_frame_and_lives_on_while_living_ones_stay():
    torch.manual_seed(0)
    codebook, z = EMACodebook(8, 2, decay=0.5, least=0.2), draw(200, 2)
    with torch.no_grad():
        codebook.weight[3] = 1e3  # nearest to nothing
    for update in range(4):
        before = codebook.weight.clone()
        codebook.observe(z, codebook.nearest(z.t()[None])[0, 0])
        if not update:
            assert (codebook.weight[3] == z).all(1).any()
    assert codebook.counts.min() > 0.2 * codebook.counts.mean()
    assert (codebook.weight - before).norm(dim=1).max() < 1.0


def test_frames_that_are_not_sent_teach_an_ema_codebook_nothing():
    codebook = EMACodebook(8, 2, decay=0.5, least=0.0)
    before = codebook.sums.clone()
    codebook.observe(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    torch.testing.assert_close(codebook.sums, before / 2)
    torch.testing.assert_close(codebook.weight, before, rtol=1e-3, atol=1e-4)


def test_frames_that_are_not_finite_teach_an_ema_codebook_nothing():
    one, other = (EMACodebook(8, 2, decay=0.5, least=0.1) for _ in range(2))
    other.load_state_dict(one.state_dict())
    z, codes = draw(50, 2), torch.arange(50) % 8
    for codebook, seen in ((one, torch.cat([z, torch.tensor([[torch.nan, 0.0], [0.0, torch.inf]])])), (other, z)):
        torch.manual_seed(0)
        codebook.observe(seen, torch.cat([codes, codes])[: len(seen)])
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (7, 5, 5, 5, 5), (3, 4, 6)])
def test_fsq_is_vector_quantize_pytorchs(levels):
    package = pytest.importorskip("vector_quantize_pytorch", reason="needs the package vector-quantize-pytorch")
    theirs, ours = package.FSQ(list(levels)), FSQ(levels)
    z, g = 2 * draw(2, len(levels), 50), draw(2, len(levels), 50, seed=1)
    one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
    output = ours(one)
    expected, indices = theirs(other.transpose(1, 2))
    torch.testing.assert_close(output.z_hat, expected.transpose(1, 2))
    basis = torch.tensor([1, *levels[:-1]]).cumprod(0)
    assert torch.equal((output.codes * basis[:, None]).sum(1), indices)
    (output.z_hat * g).sum().backward()
    (expected * g.transpose(1, 2)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)
    assert torch.equal(ours.eval().decode(output.codes), output.z_q)


@pytest.mark.parametrize("levels", [2, 3, 1000, 1002, 4096, 65536])
def test_fsq_has_no_code_beyond_its_levels(levels):
    quantizer = FSQ(levels).eval()
    output = quantizer(torch.tensor([[[-100.0, 0.0, 100.0]]]))
    assert output.codes.flatten().tolist() == [0, levels // 2, levels - 1]
    assert torch.equal(quantizer.decode(output.codes), output.z_hat)


def test_a_code_beyond_the_levels_of_its_channel_is_named():
    with pytest.raises(ValueError, match="in code 0 of a frame, has codes 0 to 1, not 5 to 5"):
        FSQ((2, 8)).decode(torch.full((1, 2, 3), 5))
