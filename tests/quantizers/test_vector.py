import copy

import pytest
import torch
from dac.nn.quantize import VectorQuantize

from qcodec import STE, EMACodebook, FactorizedVQ, KMeansStart, LearnedCodebook, ModifiedSTE, VectorQuantizer
from qcodec.functional import nearest_code

D, K, DIM = 12, 20, 4


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture
def pair():
    """Make a quantizer of dac and ours with its weights, loaded without renaming."""
    torch.manual_seed(0)
    stock, ours = VectorQuantize(D, K, DIM), FactorizedVQ(D, LearnedCodebook(K, DIM))
    ours.load_state_dict(stock.state_dict())
    return stock, ours


@pytest.mark.parametrize("train", [True, False])
def test_values_codes_and_losses_are_those_of_dac(pair, train):
    stock, ours = (module.train(train) for module in pair)
    z = draw(3, D, 50)
    z_q, commitment, codebook, codes, latent = stock(z)
    output = ours(z)
    assert torch.equal(output.codes[:, 0], codes)
    assert torch.equal(output.latents, latent)
    assert torch.equal(output.z_hat, stock.out_proj(stock.decode_code(codes)))
    torch.testing.assert_close(output.z_hat, z_q, rtol=0, atol=1e-6)  # dac's straight-through forward rounds
    torch.testing.assert_close(output.losses["commitment"], commitment, rtol=1e-6, atol=0)
    torch.testing.assert_close(output.losses["codebook"], codebook, rtol=1e-6, atol=0)


def test_gradients_of_input_and_weights_are_those_of_dac(pair):
    stock, ours = pair
    z, g, weights = draw(3, D, 50), draw(3, D, 50, seed=1), draw(2, 3, seed=2)

    def gradients(module, pick):
        x = z.clone().requires_grad_()
        z_q, *losses = pick(module(x))
        ((z_q * g).sum() + sum((w * loss).sum() for w, loss in zip(weights, losses, strict=True))).backward()
        return {"z": x.grad, **{name: p.grad for name, p in module.named_parameters()}}

    expected = gradients(stock, lambda out: out[:3])
    found = gradients(ours, lambda out: (out.z_hat, out.losses["commitment"], out.losses["codebook"]))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_weights_go_back_into_dac_under_the_same_names(pair):
    stock, ours = pair
    assert stock.load_state_dict(FactorizedVQ(D, LearnedCodebook(K, DIM)).state_dict())
    assert [name for name, _ in stock.named_parameters()] == [name for name, _ in ours.named_parameters()]


def test_a_stage_starts_like_one_of_a_dac_model_with_a_bias_of_zero():
    torch.manual_seed(0)
    expected = VectorQuantize(256, 512, 64).state_dict()
    for name, value in FactorizedVQ(256, LearnedCodebook(512, 64)).state_dict().items():
        deviation = 0.0 if name.endswith("bias") else expected[name].std().item()
        assert value.std().item() == pytest.approx(deviation, rel=0.2)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_code_is_the_nearest_of_all_codes(metric):
    z, codebook = draw(2, DIM, 30, dtype=torch.float64), draw(K, DIM, seed=1, dtype=torch.float64)
    frames = z.transpose(1, 2)
    if metric == "cosine":
        expected = torch.cosine_similarity(frames.unsqueeze(2), codebook, dim=-1).argmax(-1)
    else:
        expected = (frames.unsqueeze(2) - codebook).square().sum(-1).argmin(-1)
    index, vector = nearest_code(z, codebook, metric)
    assert torch.equal(index, expected)
    assert torch.equal(vector, codebook[expected].transpose(1, 2))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_of_equally_near_codes_the_first_is_taken_and_a_nan_gives_a_code_that_exists(metric):
    codebook = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    index, _ = nearest_code(torch.tensor([[[1.0, torch.nan, 0.0], [0.0, 0.0, 0.0]]]), codebook, metric)
    assert index[0, 0] == 1
    assert ((index >= 0) & (index < 3)).all()


def test_in_bfloat16_the_search_is_as_sharp_as_in_float32():
    z, codebook = draw(2, DIM, 200, dtype=torch.bfloat16), draw(K, DIM, seed=1)
    assert torch.equal(nearest_code(z, codebook)[0], nearest_code(z.float(), codebook)[0])


def test_an_unknown_metric_is_named_with_its_remedy():
    with pytest.raises(ValueError, match="metric 'dot' is unknown: choose 'cosine' or 'euclidean'"):
        nearest_code(draw(1, 2, 3), draw(4, 2), "dot")


def test_automatic_mixed_precision_changes_nothing():
    stage, z = FactorizedVQ(D, LearnedCodebook(K, DIM)), draw(2, D, 40)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = stage(z)
        assert torch.equal(stage.eval().decode(mixed.codes), mixed.z_hat)
    assert torch.equal(mixed.z_hat, stage(z).z_hat)
    assert mixed.latents.dtype == torch.float32


def test_the_estimator_acts_in_the_projected_space():
    stage = FactorizedVQ(D, LearnedCodebook(K, DIM), ModifiedSTE(magnitude="rms"))
    z, g = draw(2, D, 40).requires_grad_(), draw(2, D, 40, seed=1)
    output = stage(z)
    (grad,) = torch.autograd.grad(output.z_hat, output.latents, g)
    error = (nearest_code(output.latents, stage.codebook.weight)[1] - output.latents).detach()
    along = (grad * error).sum((1, 2))
    torch.testing.assert_close(along, torch.zeros(2), rtol=0, atol=1e-3)


@pytest.mark.parametrize("estimator", [STE(), ModifiedSTE()])
def test_gradients_are_finite_where_the_embedding_is_a_code_already(estimator):
    stage = FactorizedVQ(DIM, LearnedCodebook(K, DIM), estimator)
    with torch.no_grad():
        for projection in (stage.in_proj, stage.out_proj):
            projection.weight_v.copy_(torch.eye(DIM).unsqueeze(2))
            projection.weight_g.fill_(1)
    z = stage.codebook.weight.detach().t().unsqueeze(0).clone().requires_grad_()
    output = stage(z)
    torch.testing.assert_close(output.z_hat, z)
    (output.z_hat.sum() + sum(loss.sum() for loss in output.losses.values())).backward()
    assert all(t.grad.isfinite().all() for t in (z, *stage.parameters()))


def test_it_has_state_and_so_is_copied_for_each_codec_also_after_a_backward_pass():
    stage = FactorizedVQ(D, LearnedCodebook(K, DIM))
    stage(draw(1, D, 5)).z_hat.sum().backward()
    assert not stage.entries_independent
    assert torch.equal(copy.deepcopy(stage).codebook.weight, stage.codebook.weight)


def test_what_does_not_fit_is_named():
    stage = FactorizedVQ(D, LearnedCodebook(K, DIM))
    with pytest.raises(ValueError, match=r"built for dim=12, not for an embedding of shape \(1, 11, 5\)"):
        stage(draw(1, 11, 5))
    with pytest.raises(ValueError, match="sends one code a frame, not 2"):
        stage.decode(torch.zeros(1, 2, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="codes 0 to 19, not -1 to 0"):
        stage.decode(torch.tensor([[[-1, 0]]]))


@pytest.mark.parametrize("start", [lambda codebook: codebook, KMeansStart])
def test_the_sent_frames_are_picked_only_for_a_codebook_that_learns_from_them(start):
    picked = []

    class Watched(EMACodebook):
        def observe(self, z, codes):
            picked.append((len(z), len(codes)))

    sent = torch.tensor([[True, False, True]])
    for codebook in (LearnedCodebook(4, 2), Watched(4, 2)):
        quantizer = VectorQuantizer(start(codebook))
        assert quantizer.codebook.observes == isinstance(codebook, EMACodebook)
        quantizer.observe(quantizer.quantize(torch.randn(1, 2, 3)), sent)
    assert picked == [(2, 2)]
