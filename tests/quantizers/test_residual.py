import itertools

import pytest
import torch
from dac.nn.quantize import ResidualVectorQuantize
from residual_sites import PATHS, SITES, residual_at

from qcodec import (
    STE,
    AllCodebooks,
    Allocation,
    CodebookDropout,
    FactorizedVQ,
    LearnedCodebook,
    ModifiedSTE,
    NoiseApproximation,
    RateAllocator,
    ResidualVQ,
    SurrogateCodec,
    VectorQuantizer,
    residual_vq,
)  # fmt: skip
from qcodec.functional import gradient_gain
from qcodec.random_streams import BatchStreams
from qcodec.tasks.joint_update import pass_together
from qcodec.tasks.system import SystemCodec

D, STAGES, K, DIM = 16, 4, 32, 4


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(estimator=None, site="projected", residual="attached", allocator=None):
    torch.manual_seed(0)
    return residual_at(site, (D, STAGES, K, DIM), estimator, residual, allocator)


def factorized(quantizer):
    return [module for module in quantizer.modules() if isinstance(module, FactorizedVQ)]


def pair(dropout, dims=DIM):
    """Make a quantizer of dac and ours with the same weights."""
    torch.manual_seed(0)
    stock = ResidualVectorQuantize(D, STAGES, K, dims, dropout)
    ours = residual_vq(D, STAGES, K, dims, CodebookDropout(dropout) if dropout else AllCodebooks())
    ours.load_state_dict(stock.state_dict())
    return stock, ours


def run(module, train, pick, n=None):
    """Give outputs, and gradients of a loss that weighs the output and both losses."""
    z, g = draw(6, D, 30).requires_grad_(), draw(6, D, 30, seed=1)
    module.train(train)
    for stage in module.quantizers:
        if isinstance(stage, FactorizedVQ):
            stage.estimator.train()  # dac passes gradients in evaluation too
    torch.manual_seed(7)
    outputs = pick(module(z) if n is None else module(z, **{"n_quantizers" if pick is stock_outputs else "level": n}))
    ((outputs["z_hat"] * g).sum() + 30 * outputs["commitment"] + 50 * outputs["codebook"]).backward()
    return outputs, {"z": z.grad, **{name: p.grad for name, p in module.named_parameters()}}


def stock_outputs(out):
    return dict(zip(("z_hat", "codes", "latents", "commitment", "codebook"), out, strict=True))


def our_outputs(out):
    losses = {name: loss.mean() for name, loss in out.losses.items()}
    return {"z_hat": out.z_hat, "codes": out.codes, "latents": out.latents, **losses}


@pytest.mark.parametrize("dims", [DIM, [2, 4, 3, 5]])
@pytest.mark.parametrize(
    ("dropout", "train", "n"),
    [(0.0, True, None), (0.5, True, None), (1.0, True, None), (0.0, False, None), (0.5, False, None), (0.5, False, 2)],
)
def test_everything_is_as_in_dac_with_the_same_weights_and_the_same_seed(dropout, train, n, dims):
    stock, ours = pair(dropout, dims)
    expected, expected_gradients = run(stock, train, stock_outputs, n)
    found, gradients = run(ours, train, our_outputs, n)

    computed = found["codes"][:, : expected["codes"].shape[1]]
    assert torch.equal(computed, expected["codes"].masked_fill(computed < 0, -1))
    assert (found["codes"] < 0).any() == ((train and dropout > 0) or n is not None)
    torch.testing.assert_close(found["z_hat"], expected["z_hat"], rtol=0, atol=2e-6)
    torch.testing.assert_close(found["latents"], expected["latents"], rtol=0, atol=2e-6)
    for name in ("commitment", "codebook"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=0)
    assert gradients.keys() == expected_gradients.keys()
    for name, value in expected_gradients.items():
        if value is None:  # a stage that was not run
            assert gradients[name] is None
        else:
            torch.testing.assert_close(gradients[name], value, rtol=1e-4, atol=2e-5, msg=name)


def test_decoding_is_that_of_dac_bit_for_bit():
    stock, ours = pair(0.5)
    codes = ours.eval()(draw(2, D, 30)).codes
    for n in (1, 2, STAGES):
        assert torch.equal(ours.decode(codes[:, :n]), stock.from_codes(codes[:, :n])[0])
        assert torch.equal(ours(draw(2, D, 30), level=n).z_hat, stock.from_codes(codes[:, :n])[0])


def test_dropout_draws_the_depths_of_the_first_clips_alone_and_counts_their_bits():
    quantizer = make(allocator=CodebookDropout(0.5))
    output = quantizer(draw(7, D, 5))
    depth = (output.codes >= 0).sum(1)
    assert (depth[3:] == STAGES).all()
    assert (depth[:3] >= 1).all()
    assert (depth == depth[:, :1]).all()
    torch.testing.assert_close(output.bits, 5.0 * depth)
    assert (quantizer.eval()(draw(7, D, 5)).codes >= 0).all()


def test_over_many_draws_every_depth_is_as_frequent():
    torch.manual_seed(0)
    mask = CodebookDropout(1.0)(torch.zeros(4000, 1, 1), STAGES).mask
    share = mask.sum(1).flatten().long().bincount(minlength=STAGES + 1) / 4000
    torch.testing.assert_close(share, torch.tensor([0.0, 0.25, 0.25, 0.25, 0.25]), rtol=0, atol=0.03)


@pytest.mark.parametrize(("site", "residual"), list(itertools.product(SITES, PATHS)))
@pytest.mark.parametrize("estimator", [STE, ModifiedSTE])
def test_with_an_exact_estimator_no_setting_changes_a_value(site, residual, estimator):
    default = make()
    other = make(estimator=estimator(), site=site, residual=residual)
    a, b = default(draw(3, D, 20)), other(draw(3, D, 20))
    assert torch.equal(a.codes, b.codes)
    assert torch.equal(a.z_hat, b.z_hat)
    assert torch.equal(a.losses["commitment"], b.losses["commitment"])


@pytest.mark.parametrize(
    ("site", "residual", "gain"),
    [
        ("stage", "attached", 1.0),
        ("stage", "detached", 1.0),
        ("stage", "output_detached", 1.0 * STAGES),
        *(("sum", residual, 1.0) for residual in PATHS),
    ],
)
def test_the_gain_of_the_encoders_gradient_is_as_stated(site, residual, gain):
    quantizer = make(site=site, residual=residual)
    z = draw(3, D, 20).requires_grad_()
    z_hat = quantizer(z).z_hat
    z_hat.retain_grad()
    z_hat.backward(draw(3, D, 20, seed=1))
    torch.testing.assert_close(gradient_gain(z.grad, z_hat.grad), torch.full((3,), gain))


def test_the_gain_is_undefined_where_no_gradient_comes():
    assert gradient_gain(torch.ones(1, 2, 3), torch.zeros(1, 2, 3)).isnan().all()


@pytest.mark.parametrize("site", SITES)
def test_the_output_projections_learn_wherever_the_estimator_acts(site):
    quantizer = make(estimator=ModifiedSTE(), site=site)
    quantizer(draw(3, D, 20)).z_hat.square().sum().backward()
    for stage in factorized(quantizer):
        assert stage.out_proj.weight_v.grad.abs().sum() > 0
        assert (stage.in_proj.weight_v.grad is None) == (site != "projected")


@pytest.mark.parametrize("site", ["stage", "sum"])
def test_the_output_projections_get_the_decoders_gradient_itself(site):
    quantizer, g = make(estimator=ModifiedSTE(), site=site, residual="detached"), draw(3, D, 20)
    output = quantizer(draw(3, D, 20, seed=1))
    output.z_hat.backward(g)
    for stage in factorized(quantizer):
        torch.testing.assert_close(stage.out_proj.bias.grad, g.sum((0, 2)))


def test_with_mste_on_the_sum_the_gradient_has_no_part_along_the_whole_error():
    quantizer = make(estimator=ModifiedSTE(magnitude="rms"), site="sum")
    z = draw(3, D, 20).requires_grad_()
    output = quantizer(z)
    (grad,) = torch.autograd.grad(output.z_hat, z, draw(3, D, 20, seed=1))
    torch.testing.assert_close((grad * (output.z_q - z)).sum((1, 2)), torch.zeros(3), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("site", "residual"), list(itertools.product(SITES, PATHS)))
def test_noise_in_training_leaves_codes_and_hard_value_as_they_are_in_evaluation(site, residual):
    quantizer = make(estimator=NoiseApproximation(), site=site, residual=residual)
    training = quantizer(draw(3, D, 20))
    evaluation = quantizer.eval()(draw(3, D, 20))
    assert torch.equal(training.codes, evaluation.codes)
    assert torch.equal(training.z_q, evaluation.z_q)
    assert not torch.equal(training.z_hat, training.z_q)


def test_automatic_mixed_precision_changes_nothing():
    quantizer, z = make(), draw(2, D, 30)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = quantizer(z)
        assert torch.equal(quantizer.decode(mixed.codes), mixed.z_hat)
    assert torch.equal(mixed.z_hat, quantizer(z).z_hat)


def test_each_stage_leaves_less_over():
    quantizer, z = make().eval(), draw(2, D, 50)
    with torch.no_grad():  # projections that fit each other, as training finds them
        for stage in quantizer.quantizers:
            basis = torch.linalg.qr(draw(D, DIM))[0]
            stage.in_proj.weight_v.copy_(basis.t().unsqueeze(2))
            stage.out_proj.weight_v.copy_(basis.unsqueeze(2))
            stage.in_proj.weight_g.fill_(1)
            stage.out_proj.weight_g.copy_(basis.norm(dim=1).view(-1, 1, 1))
            stage.codebook.weight.copy_(draw(K, DIM, seed=5) * 0.5)
    errors = [(quantizer(z, level=n).z_hat - z).square().mean() for n in range(1, STAGES + 1)]
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("level", [0, 5, 1.5])
def test_a_level_that_is_no_number_of_stages_is_named(level):
    with pytest.raises(ValueError, match=f"level={level} is no number of stages: give a whole number from 1 to 4"):
        make(allocator=CodebookDropout()).eval()(draw(1, D, 5), level=level)


def test_codes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="has 4 stages, not 5"):
        make().decode(torch.zeros(1, 5, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="has codes -1 to 31, not -2 to 0"):
        make().decode(torch.tensor([[[-2, 0]]]))


def test_codes_that_do_not_fit_their_stage_are_named():
    mixed = ResidualVQ([VectorQuantizer(LearnedCodebook(size, DIM)) for size in (5, 16)])
    with pytest.raises(ValueError, match="in code 0 of a frame, has codes -1 to 4, not 10 to 10"):
        mixed.decode(torch.full((1, 2, 3), 10))


class Nothing(RateAllocator):
    def forward(self, z, stages, *, features=None, level=None):
        return Allocation(torch.zeros(len(z), stages, z.shape[2]), stages=0)


@pytest.mark.parametrize("train", [True, False])
def test_frames_that_are_sent_nothing_are_zero(train):
    quantizer = make(allocator=Nothing()).train(train)
    output = quantizer(draw(2, D, 5))
    assert not output.z_hat.any()
    assert (output.codes == -1).all()
    assert torch.equal(quantizer.decode(output.codes), output.z_q)


def test_codes_of_nothing_decode_to_nothing():
    assert not make().decode(torch.full((1, STAGES, 3), -1)).any()


def test_members_of_the_surrogate_each_train_a_residual_quantizer_of_their_own():
    quantizer = residual_vq(30, 2, 8, 4, CodebookDropout(0.5), ModifiedSTE())
    system = SystemCodec(quantizer, SurrogateCodec(members=2), seeds=(0, 1))
    noise = BatchStreams(2, torch.device("cpu"))
    noise.start([5, 6])
    output = pass_together([system], draw(2, 30, 20), noise)
    assert output.decoded.shape == output.z.shape == (2, 30, 20)
    first, second = (q.quantizers[0].codebook.weight for q in system.quantizers)
    assert not torch.equal(first, second)
    (output.decoded.square().mean() + output.outputs[0].losses["codebook"].sum()).backward()
    assert all(q.quantizers[1].codebook.weight.grad.isfinite().all() for q in system.quantizers)
