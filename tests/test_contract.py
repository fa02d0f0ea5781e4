"""What every quantizer must answer, with every estimator that it can take."""

import copy
import itertools
import pickle

import pytest
import torch

from qcodec import (
    STE,
    AnnealedDither,
    CodebookDropout,
    DetachedNoiseApproximation,
    Identity,
    ModifiedSTE,
    NoiseApproximation,
    ResidualVQ,
    ScalarQuantizer,
    VectorStage,
)


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


ESTIMATORS = {
    "ste": STE,
    **{f"mste_{scope}": lambda scope=scope: ModifiedSTE(scope) for scope in ("tensor", "sample", "channel", "frame")},
    "mste_rms": lambda: ModifiedSTE(magnitude="rms"),
    "na": NoiseApproximation,
    "na_absolute": lambda: NoiseApproximation(reading="absolute"),
    "na_det": DetachedNoiseApproximation,
}
QUANTIZERS = {
    "identity": Identity,
    "scalar2": lambda: ScalarQuantizer(2),
    "scalar3": lambda: ScalarQuantizer(3),
    **{f"scalar4_{name}": lambda make=make: ScalarQuantizer(estimator=make()) for name, make in ESTIMATORS.items()},
    **{
        f"dithered_{name}": lambda make=make: AnnealedDither(ScalarQuantizer(estimator=make()), 0.3, 5)
        for name, make in ESTIMATORS.items()
        if name in ("ste", "mste_channel")
    },
    **{
        f"vector_{name}": lambda make=make: seeded(lambda: VectorStage(8, 20, 3, make()))
        for name, make in ESTIMATORS.items()
    },
    **{
        f"residual_{at}_{residual}_{name}": lambda at=at, residual=residual, make=make: seeded(
            lambda: ResidualVQ(8, 3, 20, 3, estimator=make(), estimator_at=at, residual=residual)
        )
        for at, residual, (name, make) in itertools.product(
            ("projected", "stage", "sum"), ("attached", "output_detached", "detached"), ESTIMATORS.items()
        )
        if name in ("ste", "mste_sample")
    },
    **{
        f"residual_dropout_{name}": lambda make=make: seeded(
            lambda: ResidualVQ(8, 3, 20, [2, 4, 3], CodebookDropout(0.7), make())
        )
        for name, make in ESTIMATORS.items()
        if name in ("ste", "mste_sample", "na")
    },
}
every_quantizer = pytest.mark.parametrize("quantizer", [make() for make in QUANTIZERS.values()], ids=list(QUANTIZERS))


def embedding(dtype=torch.float32):
    z = 2 * torch.randn(3, 8, 40, generator=torch.Generator().manual_seed(0))
    z[0, :, :4] = torch.tensor([-1.0, 0.0, 1.0, 0.5])  # ties between levels, and a level itself
    return z.to(dtype)


@every_quantizer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoding_the_codes_gives_the_decoder_input_of_evaluation_bit_for_bit(quantizer, dtype):
    output = copy.deepcopy(quantizer).eval()(embedding(dtype))
    assert torch.equal(quantizer.decode(output.codes).to(dtype), output.z_hat)
    assert torch.equal(output.hard, output.z_hat)


@every_quantizer
def test_outputs_have_the_promised_shapes_and_types(quantizer):
    z = embedding()
    output = quantizer(z)
    assert output.z_hat.shape == output.hard.shape == z.shape
    assert output.codes.shape[::2] == (3, 40)
    assert output.codes.dtype == torch.int64
    assert output.bits.shape == (3, 40)
    assert all(loss.shape == (3,) for loss in output.losses.values())
    assert not output.hard.requires_grad


@every_quantizer
def test_as_many_bits_are_counted_as_the_codes_can_need(quantizer):
    output = quantizer.eval()(embedding())
    largest = output.codes.amax(dim=(0, 2))
    assert (output.bits >= (largest + 1).double().log2().sum() - 1e-6).all()
    quantizer.train()


@every_quantizer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_and_reach_the_embedding_also_at_ties(quantizer, dtype):
    z = embedding(dtype).requires_grad_()
    output = quantizer.train()(z)
    (output.z_hat.float().square().sum() + sum(loss.sum() for loss in output.losses.values())).backward()
    assert z.grad.isfinite().all()
    assert z.grad.abs().sum() > 0


@every_quantizer
def test_gradients_are_finite_at_zero_error(quantizer):
    z = quantizer(embedding()).hard.requires_grad_()
    quantizer.train()(z).z_hat.sum().backward()
    assert z.grad.isfinite().all()


@every_quantizer
def test_training_gives_the_hard_value_if_the_estimator_says_that_it_is_exact(quantizer):
    output = quantizer.train()(embedding().requires_grad_())
    exact = all(getattr(module, "exact", True) for module in quantizer.modules())
    assert torch.equal(output.z_hat, output.hard if not isinstance(quantizer, Identity) else embedding()) == exact


@every_quantizer
def test_a_quantizer_that_calls_itself_independent_treats_batch_entries_apart(quantizer):
    z = embedding().requires_grad_()
    weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    whole = quantizer.train()(z)
    (together,) = torch.autograd.grad((whole.z_hat * weights).sum(), z)
    first = quantizer(z[:1])
    (alone,) = torch.autograd.grad((first.z_hat * weights[:1]).sum(), z)
    assert not quantizer.independent or torch.allclose(together[:1], alone[:1], rtol=1e-5, atol=1e-6)
    if quantizer.independent:
        assert torch.equal(whole.z_hat[:1], first.z_hat)


@every_quantizer
def test_survives_pickling_and_a_round_trip_of_its_state(quantizer):
    z = embedding()
    twin = pickle.loads(pickle.dumps(quantizer))
    twin.load_state_dict(quantizer.state_dict())
    assert torch.equal(twin.eval()(z).codes, quantizer.eval()(z).codes)
    quantizer.train()


@every_quantizer
def test_a_wrong_shape_is_named_in_the_error(quantizer):
    with pytest.raises(ValueError, match=r"\(30, 2000\)"):
        quantizer(torch.zeros(30, 2000))
    with pytest.raises(ValueError, match=r"int64"):
        quantizer(torch.zeros(1, 30, 20, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        quantizer.decode(torch.zeros(4, 5, dtype=torch.int64))


@every_quantizer
def test_a_rate_dial_lowers_the_bits_or_is_refused_by_a_quantizer_of_one_rate(quantizer):
    z, twin = embedding(), copy.deepcopy(quantizer).eval()
    if not hasattr(quantizer, "allocator"):
        with pytest.raises(ValueError, match=r"level=2\.0 has no meaning"):
            twin(z, level=2.0)
        return
    output = twin(z, level=2.0)
    assert (output.bits < twin(z).bits).all()
    assert torch.equal(twin.decode(output.codes), output.z_hat)
    with pytest.raises(ValueError, match=r"level=2\.0 has no meaning in training"):
        twin.train()(z, level=2.0)


@every_quantizer
def test_bits_are_counted_for_what_is_sent_alone(quantizer):
    output = quantizer.train()(embedding())
    sent = (output.codes >= 0).sum(1)
    full = quantizer.eval()(embedding())
    assert torch.allclose(output.bits * full.codes.shape[1], full.bits * sent)
    quantizer.train()


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=list(ESTIMATORS))
def test_an_estimator_returns_the_quantized_value_itself_in_evaluation(make):
    z = embedding()
    z_q = z.round()
    assert make().eval()(z, z_q) is z_q


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=list(ESTIMATORS))
def test_an_estimator_refuses_tensors_of_two_shapes(make):
    with pytest.raises(ValueError, match=r"\(3, 8, 40\) and \(3, 8, 39\)"):
        make()(embedding(), embedding()[..., 1:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScalarQuantizer(levels=1), "levels=1 carries no information"),
        (lambda: ScalarQuantizer(step=0), "step=0 is no distance"),
        (lambda: VectorStage(8, codebook_size=1), "codebook_size=1 2 or more"),
        (lambda: ResidualVQ(8, 2, codebook_dim=[4]), "1 values of codebook_dim for n_codebooks=2"),
        (lambda: ResidualVQ(8, 0), "n_codebooks=0"),
        (lambda: ResidualVQ(8, 2, estimator_at="end"), "estimator_at 'end' is unknown: choose 'projected', 'stage'"),
        (lambda: ResidualVQ(8, 2, residual="off"), "residual 'off' is unknown: choose 'attached', 'output_detached'"),
        (lambda: CodebookDropout(1.5), "probability=1.5 is no share"),
        (lambda: ModifiedSTE(scope="batch"), "scope 'batch' is unknown: choose one of tensor, sample, channel, frame"),
        (lambda: ModifiedSTE(magnitude="var"), "magnitude 'var' is unknown"),
        (lambda: NoiseApproximation(enr_db=(8, 0)), r"enr_db \(8, 0\) is no range"),
        (lambda: NoiseApproximation(reading="literal"), "reading 'literal' is unknown"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_codes_out_of_range_are_named():
    with pytest.raises(ValueError, match="codes 0 to 3, not 0 to 4"):
        ScalarQuantizer(4).decode(torch.tensor([[[0, 4]]]))


def test_relative_noise_has_the_power_that_the_drawn_ratio_asks_for():
    z = 5 * torch.randn(1, 30, 20000, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    noise = NoiseApproximation(enr_db=(6.0, 6.0))(z, z) - z
    assert 20 * torch.log10(z.std() / noise.std()).item() == pytest.approx(6.0, abs=0.05)


def test_absolute_noise_has_the_same_power_for_every_embedding():
    z = 5 * torch.randn(1, 30, 20000, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    noise = NoiseApproximation(enr_db=(6.0, 6.0), reading="absolute")(z, z) - z
    assert -20 * torch.log10(noise.std()).item() == pytest.approx(6.0, abs=0.05)
