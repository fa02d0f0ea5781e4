"""What every quantizer must answer, with every estimator, codebook and allocator that it can take."""

import itertools
import math
import re

import pytest
import torch
from residual_sites import PATHS, SITES, residual_at

from qcodec import (
    BSQ,
    FSQ,
    LFQ,
    NSVQ,
    SPIGOT,
    STE,
    ZGR,
    AdditiveUniformNoise,
    AllCodebooks,
    AnnealedDither,
    Bounded,
    CodebookDropout,
    DetachedDiVeQ,
    DetachedNoiseApproximation,
    DiVeQ,
    Dropout,
    EMACodebook,
    FactorizedVQ,
    FixedCodebook,
    FSQStage,
    GumbelRao,
    GumbelSoftmax,
    Identity,
    ImportanceMask,
    KMeansStart,
    L2Normalization,
    LayeredQuantizer,
    LayerNorm,
    LearnedCodebook,
    Levels,
    LogUniformLevels,
    ModifiedSTE,
    NoiseApproximation,
    ProductQuantizer,
    ProjectedQuantizer,
    ProjectedStage,
    QuantizerOutput,
    ReinMax,
    ReinMaxCV,
    ReinMaxRao,
    ResidualVQ,
    RotationTrick,
    ScalarQuantizer,
    SimVQCodebook,
    SoftRound,
    SoftToHard,
    StochasticSTE,
    StraightThroughGumbel,
    UniversalQuantizer,
    VectorQuantizer,
    Whitening,
    residual_fsq,
    residual_vq,
)
from qcodec.conformance.check import QUESTIONS
from qcodec.conformance.question import Case, answers
from qcodec.schedules import Cosine, Exponential

GRADIENT = {
    "ste": STE,
    **{f"mste_{scope}": lambda scope=scope: ModifiedSTE(scope) for scope in ("tensor", "sample", "channel", "frame")},
    "mste_rms": lambda: ModifiedSTE(magnitude="rms"),
    "mste_trains": lambda: ModifiedSTE(trains_codebook=True),
    "na": NoiseApproximation,
    "na_absolute": lambda: NoiseApproximation(reading="absolute"),
    "na_det": DetachedNoiseApproximation,
    "diveq": DiVeQ,
    "diveq_detached": DetachedDiVeQ,
    "nsvq": NSVQ,
    "rotation": RotationTrick,
    "uniform": AdditiveUniformNoise,
}
LOGITS = {
    "gumbel": lambda: GumbelSoftmax(temperature=0.5, sharpness=2.0),
    "gumbel_annealed": lambda: GumbelSoftmax(Exponential(1.0, 0.5), Cosine(4.0, 3, 1)),
    "gumbel_straight": lambda: StraightThroughGumbel(temperature=0.5, sharpness=2.0),
    "reinmax": lambda: ReinMax(temperature=1.5, sharpness=2.0),
    "reinmax_cv": lambda: ReinMaxCV(0.7, Cosine(2.0, 3, 1), draws=2),
    "reinmax_rao": lambda: ReinMaxRao(0.7, 2.0, draws=2),
    "zgr": lambda: ZGR(sharpness=2.0),
    "gumbel_rao": lambda: GumbelRao(0.5, 2.0, draws=2),
    "spigot": SPIGOT,
    "soft_to_hard": SoftToHard,
    "stochastic": lambda: StochasticSTE(sharpness=2.0),
}
ESTIMATORS = {**GRADIENT, **LOGITS}
NEW = {name: ESTIMATORS[name] for name in ("diveq_detached", "nsvq", "rotation", "uniform", *list(LOGITS)[1:])}
del NEW["gumbel_rao"], NEW["reinmax_cv"]  # their gradients differ from that of "reinmax_rao" in their weights alone
FEW = ("ste", "mste_sample", "na", "diveq", "gumbel")
CODEBOOKS = {
    "learned": lambda: LearnedCodebook(20, 3),
    "euclidean": lambda: LearnedCodebook(20, 3, "euclidean"),
    "ema": lambda: EMACodebook(20, 3, decay=0.8),
    "ema_cosine": lambda: EMACodebook(20, 3, "cosine", least=0.0),
}
FURTHER_CODEBOOKS = {
    "simvq": lambda: SimVQCodebook(20, 3, base_dim=5),
    "fixed": lambda: FixedCodebook(20, 3, "cosine", "orthogonal"),
    "kmeans": lambda: KMeansStart(EMACodebook(20, 3)),
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


def stages(codebook, estimator, count=3):
    return [FactorizedVQ(8, CODEBOOKS[codebook](), estimator()) for _ in range(count)]


QUANTIZERS = {
    "identity": Identity,
    "scalar2": lambda: ScalarQuantizer(2),
    "scalar3": lambda: ScalarQuantizer(3),
    **{f"scalar4_{name}": lambda make=make: ScalarQuantizer(estimator=make()) for name, make in ESTIMATORS.items()},
    **{f"fsq_{name}": lambda name=name: FSQ((8, 5, 4, 3) * 2, GRADIENT[name]()) for name in FEW if name in GRADIENT},
    "fsq_even": lambda: FSQ(4),
    **{
        f"dithered_{name}": lambda make=make: AnnealedDither(ScalarQuantizer(estimator=make()), 0.3, 5)
        for name, make in ESTIMATORS.items()
        if name in ("ste", "mste_channel", "gumbel")
    },
    "universal": lambda: UniversalQuantizer(5, step=0.7),
    "soft_round": lambda: SoftRound(UniversalQuantizer(5, step=0.7), Exponential(8.0, 0.9)),
    "soft_round_scalar": lambda: SoftRound(ScalarQuantizer(estimator=AdditiveUniformNoise()), alpha=5.0),
    "dithered_residual": lambda: AnnealedDither(residual_vq(8, 3, 20, 3, importance(), ModifiedSTE()), 0.3, 5),
    **{
        f"vector_{codebook}_{name}": lambda c=codebook, make=make: FactorizedVQ(8, CODEBOOKS[c](), make())
        for codebook, (name, make) in itertools.product(CODEBOOKS, ESTIMATORS.items())
        if codebook == "learned" or name in FEW
    },
    **{
        f"vector_{name}": lambda make=make: FactorizedVQ(8, make(), ModifiedSTE())
        for name, make in FURTHER_CODEBOOKS.items()
    },
    "lfq": lambda: LFQ(8, temperature=1.0),
    "bsq": lambda: BSQ(8, group=4, estimator=ModifiedSTE()),
    "residual_fsq": lambda: residual_fsq((4, 3) * 4, 3, CodebookDropout(0.5)),
    "projected": lambda: ProjectedQuantizer(8, 2, residual_fsq((8, 5), 3, importance(), DiVeQ())),
    "residual_projected": lambda: ResidualVQ([ProjectedStage(8, LFQ(5)), ProjectedStage(8, FSQStage((3, 2)))]),
    "layered": lambda: LayeredQuantizer(
        ScalarQuantizer(), before=[Dropout(0.2), L2Normalization(), Bounded(2.0)], after=[LayerNorm()]
    ),
    "dropped": lambda: LayeredQuantizer(ScalarQuantizer(3), before=[Dropout(0.2)], after=[Dropout(0.3)]),
    "whitened": lambda: LayeredQuantizer(residual_vq(8, 3, 20, 3, importance()), before=[Whitening(8)]),
    "product": lambda: ProductQuantizer(8, [VectorQuantizer(EMACodebook(20, 4)), ScalarQuantizer(3)]),
    "grouped": lambda: ProductQuantizer(8, [residual_vq(4, 2, 20, 3, CodebookDropout(0.5)) for _ in range(2)]),
    "plain_vector": lambda: VectorQuantizer(EMACodebook(20, 8), ModifiedSTE()),
    **{
        f"residual_{site}_{path}_{name}": lambda site=site, path=path, make=make: residual_at(
            site, (8, 3, 20, 3), make(), path
        )
        for site, path, (name, make) in itertools.product(SITES, PATHS, ESTIMATORS.items())
        if name == ("ste" if path == "attached" else "mste_sample")
    },
    **{
        f"residual_{allocator}_{name}": lambda allocator=allocator, make=make: residual_vq(
            8, 3, 20, [2, 4, 3], ALLOCATORS[allocator](), make()
        )
        for allocator, (name, make) in itertools.product(ALLOCATORS, ESTIMATORS.items())
        if name in FEW and (allocator != "importance_detached" or name == "ste")
    },
    **{f"residual_{name}": lambda make=make: residual_vq(8, 2, 20, 3, None, make()) for name, make in NEW.items()},
    **{
        f"residual_{codebook}_{name}": lambda c=codebook, make=make: ResidualVQ(stages(c, make), importance())
        for codebook, (name, make) in itertools.product(CODEBOOKS, ESTIMATORS.items())
        if codebook == "ema" and name in FEW
    },
    "residual_mixed": lambda: ResidualVQ([*stages("ema", STE, 1), FactorizedVQ(8, LearnedCodebook(64, 2), DiVeQ())]),
}


@pytest.fixture(params=QUANTIZERS)
def quantizer(request):
    """Build each quantizer afresh for each test."""
    torch.manual_seed(0)
    return QUANTIZERS[request.param]()


@pytest.mark.parametrize("make", QUANTIZERS.values(), ids=QUANTIZERS)
def test_every_quantizer_answers_all_questions(make):
    for answer in answers(QUESTIONS, Case(make)):
        assert answer.verdict != "no", answer
        assert "every seed starts with the same" not in answer.found, answer


def ask(quantizer, z, **settings):
    """Call a quantizer as a codec does, with features; here they are the embedding itself."""
    return quantizer(z, features=z, **settings)


def embedding(dtype=torch.float32):
    z = 2 * torch.randn(3, 8, 40, generator=torch.Generator().manual_seed(0))
    z[0, :, :4] = torch.tensor([-1.0, 0.0, 1.0, 0.5])  # ties between levels, and a level itself
    return z.to(dtype)


def test_training_gives_the_quantized_value_if_the_quantizer_says_that_it_is_exact(quantizer):
    output = ask(quantizer.train(), embedding().requires_grad_())
    if not isinstance(quantizer, Identity):  # exact for float32 alone
        assert torch.equal(output.z_hat, output.z_q) == quantizer.exact


def test_two_seeds_start_apart_and_equal_seeds_alike_in_all_that_is_drawn(quantizer):
    built = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        built.append(quantizer.rebuild())
    first, second, again = (part.state_dict() for part in built)
    assert first.keys() == quantizer.state_dict().keys()
    for name, value in first.items():
        assert torch.equal(value, again[name])
        if name.endswith(("codebook.weight", "weight_v")):
            assert not torch.equal(value, second[name])


def test_a_wrong_shape_is_named_in_the_error(quantizer):
    with pytest.raises(ValueError, match=r"\(30, 2000\)"):
        quantizer(torch.zeros(30, 2000))
    with pytest.raises(ValueError, match=r"int64"):
        quantizer(torch.zeros(1, 30, 20, dtype=torch.int64))
    for empty in ((0, 30, 20), (1, 30, 0)):
        with pytest.raises(ValueError, match=re.escape(f"one frame or more, not of shape {empty}")):
            quantizer(torch.zeros(empty))
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        quantizer.decode(torch.zeros(4, 5, dtype=torch.int64))


def test_a_rate_dial_lowers_the_bits_or_is_refused_by_a_quantizer_of_one_rate(quantizer):
    z = embedding()
    quantizer.eval()
    if quantizer.allocator is None:
        with pytest.raises(ValueError, match=r"level=2\.0 has no meaning"):
            quantizer(z, level=2.0)
        with pytest.raises(ValueError, match="has one rate only"):
            quantizer.with_allocator(AllCodebooks())
        return
    output, default = ask(quantizer, z, level=1.0), ask(quantizer, z)
    assert (output.bits <= default.bits).all()
    assert output.bits.mean() < default.bits.mean()
    assert torch.equal(quantizer.decode(output.codes), output.z_hat)
    with pytest.raises(ValueError, match=r"level=1\.0 has no meaning in training"):
        ask(quantizer.train(), z, level=1.0)


@pytest.mark.parametrize("make", GRADIENT.values(), ids=list(GRADIENT))
def test_an_estimator_returns_the_quantized_value_detached_in_evaluation(make):
    z = embedding()
    z_q = z.round().requires_grad_()
    found = make().eval()(z, z_q)
    assert torch.equal(found, z_q)
    assert not found.requires_grad


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=list(ESTIMATORS))
@pytest.mark.parametrize(
    "codebook",
    [
        lambda: Levels(4),
        lambda: LearnedCodebook(20, 4),
        lambda: LearnedCodebook(5, 8),
        lambda: SimVQCodebook(20, 4),
        lambda: KMeansStart(LearnedCodebook(20, 4)),
    ],
)
def test_every_estimator_takes_every_codebook_and_chooses_the_nearest_in_evaluation(make, codebook):
    z, points, estimator = embedding(), codebook(), make()
    for train in (True, False):
        selected = estimator.train(train).select(z, points)
        assert selected.z_q.shape == selected.z_hat.shape == z.shape
        assert torch.equal(points.lookup(selected.codes), selected.z_q)
    assert torch.equal(selected.codes, points.nearest(z))
    assert torch.equal(points.logits(z).argmax(-1), selected.codes) or isinstance(points, Levels)  # ties go up there


FROM_POINTS = {
    "fsq": lambda make: FSQ((8, 5, 4, 3) * 2, make()),
    "bsq": lambda make: BSQ(8, group=4, estimator=make()),
    "residual_fsq": lambda make: residual_fsq((4, 3) * 4, 3, importance(), make()),
}
HOSTS = {
    "scalar": lambda make: ScalarQuantizer(estimator=make()),
    "dithered": lambda make: AnnealedDither(ScalarQuantizer(estimator=make()), 0.3, 5),
    "layered": lambda make: LayeredQuantizer(ScalarQuantizer(estimator=make()), before=[Dropout(0.2)]),
    "projected": lambda make: ProjectedQuantizer(8, 2, ScalarQuantizer(estimator=make())),
    "vector": lambda make: VectorQuantizer(EMACodebook(20, 8), make()),
    "factorized": lambda make: FactorizedVQ(8, SimVQCodebook(20, 3), make()),
    "product": lambda make: ProductQuantizer(8, [VectorQuantizer(LearnedCodebook(20, 4), make()) for _ in range(2)]),
    **{
        f"residual_{name}": lambda make, allocator=allocator: residual_vq(8, 3, 20, 3, allocator(), make())
        for name, allocator in ALLOCATORS.items()
    },
}
PAIRS = {f"{host}_{name}": (HOSTS[host], make) for host in HOSTS for name, make in ESTIMATORS.items()}
PAIRS |= {f"{host}_{name}": (FROM_POINTS[host], make) for host in FROM_POINTS for name, make in GRADIENT.items()}


@pytest.mark.parametrize(("host", "make"), PAIRS.values(), ids=PAIRS)
def test_every_pair_of_estimator_and_quantizer_or_allocator_trains_and_decodes_its_codes(host, make):
    torch.manual_seed(0)
    quantizer, z = host(make), embedding().requires_grad_()
    output = ask(quantizer, z)
    (output.z_hat.square().sum() + sum(loss.sum() for loss in output.losses.values())).backward()
    assert z.grad.isfinite().all()
    assert z.grad.any()
    assert all(weight.grad.isfinite().all() for weight in quantizer.parameters() if weight.grad is not None)
    output = ask(quantizer.eval(), embedding())
    assert torch.equal(quantizer.decode(output.codes), output.z_hat)


@pytest.mark.parametrize("make", GRADIENT.values(), ids=list(GRADIENT))
def test_an_estimator_refuses_tensors_of_two_shapes(make):
    with pytest.raises(ValueError, match=r"\(3, 8, 40\) and \(3, 8, 39\)"):
        make()(embedding(), embedding()[..., 1:])


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("ste", False),
        ("mste_sample", False),
        ("mste_trains", True),
        ("na", False),
        ("diveq", True),
        ("gumbel", True),
        ("diveq_detached", True),
        ("nsvq", True),
        ("rotation", False),
        ("uniform", False),
        ("gumbel_straight", True),
        ("reinmax", True),
        ("zgr", True),
        ("gumbel_rao", True),
        ("reinmax_rao", True),
        ("reinmax_cv", True),
        ("spigot", True),
        ("soft_to_hard", True),
        ("stochastic", False),
    ],
)
def test_the_decoders_gradient_reaches_a_learned_codebook_where_the_estimator_passes_it(name, trained):
    quantizer = FactorizedVQ(8, LearnedCodebook(20, 3), ESTIMATORS[name]())
    quantizer(embedding()).z_hat.square().sum().backward()
    gradient = quantizer.codebook.weight.grad
    assert (gradient is not None and bool(gradient.abs().sum() > 0)) == trained


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScalarQuantizer(levels=1), "levels=1 carries no information"),
        (lambda: ScalarQuantizer(levels=2**62), "levels=4611686018427387904 are more than float32 tells apart"),
        (lambda: ScalarQuantizer(step=0), "step=0 is no distance"),
        (lambda: FSQ(1), "levels=1 carry no information"),
        (lambda: FSQ((8, 5))(embedding()), r"levels=\(8, 5\) for 2 channels, not for an embedding of 8"),
        (lambda: FactorizedVQ(8, LearnedCodebook(1)), "size=1 and dim=8"),
        (lambda: LearnedCodebook(4, 2, "dot"), "metric 'dot' is unknown"),
        (lambda: EMACodebook(4, 2, decay=1.0), "decay=1.0 and least=0.1 must lie"),
        (lambda: VectorQuantizer(LearnedCodebook(4, 3))(embedding()), "built for dim=3"),
        (lambda: residual_vq(8, 2, codebook_dim=[4]), "1 values of codebook_dim for n_codebooks=2"),
        (lambda: residual_vq(8, 0), "n_codebooks=0"),
        (lambda: ResidualVQ([]), "0 stages"),
        (lambda: ResidualVQ([FactorizedVQ(8), FactorizedVQ(9)]), r"2 stages for embeddings of \[8, 9\] channels"),
        (lambda: ResidualVQ([FactorizedVQ(8)], residual="off"), "residual 'off' is unknown: choose 'attached', 'out"),
        (lambda: CodebookDropout(1.5), "probability=1.5 is no share"),
        (lambda: ModifiedSTE(scope="batch"), "scope 'batch' is unknown: choose one of tensor, sample, channel, frame"),
        (lambda: ModifiedSTE(magnitude="var"), "magnitude 'var' is unknown"),
        (lambda: NoiseApproximation(enr_db=(8, 0)), r"enr_db \(8, 0\) is no range"),
        (lambda: NoiseApproximation(reading="literal"), "reading 'literal' is unknown"),
        (lambda: DiVeQ(variance=-1), "variance=-1 is no variance"),
        (lambda: GumbelSoftmax(temperature=0), "temperature=0 must be a positive number, or a schedule"),
        (lambda: ZGR(sharpness=-1.0), "sharpness=-1.0 must be a positive number, or a schedule"),
        (lambda: GumbelRao(draws=0), "draws=0 average over nothing"),
        (lambda: ReinMaxCV(weight=math.nan), "weight=nan is no factor"),
        (lambda: UniversalQuantizer(seed=-1), "seed=-1 is no seed of the dither"),
        (lambda: SoftRound(UniversalQuantizer(), alpha=0), "alpha=0 must be a positive number, or a schedule"),
        (lambda: SPIGOT(step=math.inf), "step=inf must be a positive number, or a schedule"),
        (lambda: AdditiveUniformNoise(step=0), "step=0 is no width of the noise"),
        (lambda: VectorQuantizer(LearnedCodebook(4, 1), RotationTrick())(embedding()[:, :1]), "2 dimensions or more"),
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


def test_absolute_noise_has_the_amplitude_of_the_papers_formula_for_every_embedding():
    z = 5 * torch.randn(1, 30, 20000, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    noise = NoiseApproximation(enr_db=(6.0, 6.0), reading="absolute")(z, z) - z
    assert 20 * torch.log10(noise.std()).item() == pytest.approx(6.0, abs=0.05)


def test_codes_of_several_rates_in_one_stream_are_refused_in_one_line():
    z = embedding()
    codes = [torch.zeros(3, 1, frames, dtype=torch.int64) for frames in (10, 20, 40)]  # as SNAC returns them
    for several in (codes, codes[0]):
        with pytest.raises(ValueError, match=r"an embedding of 40: codes of several rates in one stream, as in SNAC"):
            QuantizerOutput(z, several, torch.zeros(3, 40), {}, z)
