"""What every quantizer must answer, with every estimator that it can take."""

import copy
import itertools
import math
import pickle

import pytest
import torch

from qcodec import (
    STE,
    AllCodebooks,
    AnnealedDither,
    CodebookDropout,
    DetachedNoiseApproximation,
    Identity,
    ImportanceMask,
    LogUniformLevels,
    ModifiedSTE,
    NoiseApproximation,
    ScalarQuantizer,
    VectorStage,
    residual_vq,
)
from qcodec.random_streams import BatchStreams, drawing_from


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


def importance(**settings):
    """Make an allocator whose untrained network tells frames apart."""
    allocator = ImportanceMask(8, widths=(6, 4), full_share=0.4, default_level=2.0, **settings)
    with torch.no_grad():
        allocator.subnet[-1].weight_g.fill_(10.0)
    return allocator


ALLOCATORS = {
    "all": AllCodebooks,
    "dropout": lambda: CodebookDropout(0.7),
    "importance": importance,
    "importance_detached": lambda: importance(training_levels=LogUniformLevels(), detach_input=True),
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
            lambda: residual_vq(8, 3, 20, 3, estimator=make(), estimator_at=at, residual=residual)
        )
        for at, residual, (name, make) in itertools.product(
            ("projected", "stage", "sum"), ("attached", "output_detached", "detached"), ESTIMATORS.items()
        )
        if name in ("ste", "mste_sample")
    },
    **{
        f"residual_{allocator}_{name}": lambda allocator=allocator, make=make: seeded(
            lambda: residual_vq(8, 3, 20, [2, 4, 3], ALLOCATORS[allocator](), make())
        )
        for allocator, (name, make) in itertools.product(ALLOCATORS, ESTIMATORS.items())
        if name in ("ste", "mste_sample", "na")
    },
}
every_quantizer = pytest.mark.parametrize("quantizer", [make() for make in QUANTIZERS.values()], ids=list(QUANTIZERS))


def ask(quantizer, z, **settings):
    """Call a quantizer as a codec does, with features; here they are the embedding itself."""
    return quantizer(z, features=z, **settings)


def embedding(dtype=torch.float32):
    z = 2 * torch.randn(3, 8, 40, generator=torch.Generator().manual_seed(0))
    z[0, :, :4] = torch.tensor([-1.0, 0.0, 1.0, 0.5])  # ties between levels, and a level itself
    return z.to(dtype)


@every_quantizer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoding_the_codes_gives_the_decoder_input_of_evaluation_bit_for_bit(quantizer, dtype):
    output = ask(copy.deepcopy(quantizer).eval(), embedding(dtype))
    assert torch.equal(quantizer.decode(output.codes).to(dtype), output.z_hat)
    assert torch.equal(output.z_q, output.z_hat)


@every_quantizer
def test_outputs_have_the_promised_shapes_and_types(quantizer):
    z = embedding()
    output = ask(quantizer, z)
    assert output.z_hat.shape == output.z_q.shape == z.shape
    assert output.codes.shape[::2] == (3, 40)
    assert output.codes.dtype == torch.int64
    assert output.bits.shape == (3, 40)
    assert all(loss.shape == (3,) for loss in output.losses.values())
    assert not output.z_q.requires_grad


@every_quantizer
def test_as_many_bits_are_counted_as_the_codes_can_need(quantizer):
    output = ask(quantizer.eval(), embedding())
    largest = output.codes.amax(dim=(0, 2)).clamp_min(0)
    needed = ((largest + 1).double().log2()[:, None] * (output.codes >= 0)).sum(1)
    assert (output.bits >= needed - 1e-6).all()
    quantizer.train()


@every_quantizer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_and_reach_the_embedding_also_at_ties(quantizer, dtype):
    z = embedding(dtype).requires_grad_()
    output = ask(quantizer.train(), z)
    (output.z_hat.float().square().sum() + sum(loss.sum() for loss in output.losses.values())).backward()
    assert z.grad.isfinite().all()
    assert z.grad.abs().sum() > 0


@every_quantizer
def test_gradients_are_finite_at_zero_error(quantizer):
    z = ask(quantizer, embedding()).z_q.requires_grad_()
    ask(quantizer.train(), z).z_hat.sum().backward()
    assert z.grad.isfinite().all()


@every_quantizer
def test_training_gives_the_hard_value_if_the_estimator_says_that_it_is_exact(quantizer):
    output = ask(quantizer.train(), embedding().requires_grad_())
    exact = all(getattr(module, "exact", True) for module in quantizer.modules())
    assert torch.equal(output.z_hat, output.z_q if not isinstance(quantizer, Identity) else embedding()) == exact


@every_quantizer
def test_a_quantizer_that_calls_itself_independent_treats_batch_entries_apart(quantizer):
    if not quantizer.entries_independent:
        return
    z = embedding().requires_grad_()
    weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    twin, state = copy.deepcopy(quantizer.train()), torch.get_rng_state()
    streams, own = BatchStreams(len(z), "cpu"), BatchStreams(1, "cpu")
    streams.start(range(len(z)))
    own.start([0])
    with drawing_from(streams):
        whole = quantizer(z)
    (together,) = torch.autograd.grad((whole.z_hat * weights).sum(), z)
    with drawing_from(own):
        first = twin(z[:1])
    (alone,) = torch.autograd.grad((first.z_hat * weights[:1]).sum(), z)
    assert torch.allclose(together[:1], alone[:1], rtol=1e-5, atol=1e-6)
    assert torch.equal(whole.z_hat[:1], first.z_hat)
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(quantizer.parameters())


@every_quantizer
def test_in_evaluation_two_ranks_agree_with_one_process_that_sees_both_batches(quantizer):
    z, twin = embedding(), copy.deepcopy(quantizer).eval()
    whole, parts = ask(twin, z), [ask(twin, z[:1]), ask(twin, z[1:])]
    for name in ("z_hat", "codes", "bits", "z_q"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    for name, loss in whole.losses.items():
        torch.testing.assert_close(torch.cat([part.losses[name] for part in parts]), loss)


@every_quantizer
def test_survives_pickling_and_a_round_trip_of_its_state(quantizer):
    z = embedding()
    twin = pickle.loads(pickle.dumps(quantizer))
    twin.load_state_dict(quantizer.state_dict())
    assert torch.equal(ask(twin.eval(), z).codes, ask(quantizer.eval(), z).codes)
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
    output, default = ask(twin, z, level=1.0), ask(twin, z)
    assert (output.bits <= default.bits).all()
    assert output.bits.mean() < default.bits.mean()
    assert torch.equal(twin.decode(output.codes), output.z_hat)
    with pytest.raises(ValueError, match=r"level=1\.0 has no meaning in training"):
        ask(twin.train(), z, level=1.0)


@every_quantizer
@pytest.mark.parametrize("train", [True, False])
def test_bits_are_counted_for_what_is_sent_and_for_telling_how_much_that_is(quantizer, train):
    output = ask(copy.deepcopy(quantizer).train(train), embedding())
    inner = getattr(quantizer, "quantizer", quantizer)
    size = getattr(inner, "codebook_size", getattr(inner, "levels", 1 << 32))
    expected = (output.codes >= 0).sum(1) * math.log2(size)
    if isinstance(getattr(quantizer, "allocator", None), ImportanceMask):
        expected[: 2 if train else 3] += math.log2(3)  # the last clip has full depth in training
    torch.testing.assert_close(output.bits, expected)


@every_quantizer
def test_what_is_sent_of_a_frame_is_a_number_of_leading_stages_and_never_none(quantizer):
    sent = (ask(copy.deepcopy(quantizer).eval(), embedding()).codes >= 0).long()
    assert (sent.diff(dim=1) <= 0).all()
    assert (sent[:, 0] == 1).all()


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
        (lambda: residual_vq(8, 2, codebook_dim=[4]), "1 values of codebook_dim for n_codebooks=2"),
        (lambda: residual_vq(8, 0), "n_codebooks=0"),
        (lambda: residual_vq(8, 2, estimator_at="end"), "estimator_at 'end' is unknown: choose 'projected', 'stage'"),
        (lambda: residual_vq(8, 2, residual="off"), "residual 'off' is unknown: choose 'attached', 'output_detached'"),
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
