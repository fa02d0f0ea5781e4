"""Quantizers and codebooks against those of the package vector-quantize-pytorch, and against their definitions."""

import pytest
import torch
from torch.nn import functional as F

from qcodec import (
    BSQ,
    LFQ,
    EMACodebook,
    FactorizedVQ,
    FixedCodebook,
    FSQStage,
    KMeansStart,
    LearnedCodebook,
    Levels,
    ProductQuantizer,
    ProjectedStage,
    ResidualVQ,
    SimVQCodebook,
    VectorQuantizer,
    residual_fsq,
)
from qcodec.quantizers.kmeans import k_means

NEEDED = "needs the package vector-quantize-pytorch"


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pair(*shape):
    """Make an embedding twice, so that each side has a gradient of its own."""
    return draw(*shape).requires_grad_(), draw(*shape).requires_grad_()


def test_simvq_is_vector_quantize_pytorchs_gradients_included():
    package = pytest.importorskip("vector_quantize_pytorch", reason=NEEDED)
    theirs = package.SimVQ(dim=4, codebook_size=20, frozen_codebook_dim=6, rotation_trick=False)
    ours = VectorQuantizer(SimVQCodebook(20, 4, base_dim=6))
    ours.codebook.weight.copy_(theirs.frozen_codebook)
    with torch.no_grad():
        ours.codebook.map.weight.copy_(theirs.code_transform.weight)
    one, other = pair(2, 4, 50)
    output, g = ours(one), draw(2, 4, 50, seed=1)
    expected, indices, loss = theirs(other.transpose(1, 2))
    assert torch.equal(output.codes[:, 0], indices)
    torch.testing.assert_close(output.z_hat, expected.transpose(1, 2))
    total = (output.losses["codebook"] + 0.25 * output.losses["commitment"]).mean()
    torch.testing.assert_close(total, loss)
    (total + (output.z_hat * g).sum()).backward()
    (loss + (expected * g.transpose(1, 2)).sum()).backward()
    torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(ours.codebook.map.weight.grad, theirs.code_transform.weight.grad)


def test_a_simvq_codebook_trains_its_map_alone_and_is_no_codebook_of_dac():
    quantizer = FactorizedVQ(8, SimVQCodebook(20, 3, "cosine"))
    assert [name for name, _ in quantizer.codebook.named_parameters()] == ["map.weight"]
    assert quantizer.dac_arguments() is None


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("inverse_temperature", [1.0, 20.0, 100.0])
def test_lfq_and_bsq_are_vector_quantize_pytorchs_losses_and_gradients_included(spherical, inverse_temperature):
    package = pytest.importorskip("vector_quantize_pytorch", reason=NEEDED)
    theirs = package.LFQ(
        dim=6, spherical=spherical, entropy_loss_weight=1.0, commitment_loss_weight=0.3, diversity_gamma=0.7
    )
    ours = (BSQ if spherical else LFQ)(6, temperature=1 / inverse_temperature)
    one, other = pair(2, 6, 50)
    output, g = ours(one), draw(2, 6, 50, seed=1)
    (expected, indices, loss), parts = theirs(
        other.transpose(1, 2), inv_temperature=inverse_temperature, return_loss_breakdown=True
    )
    assert torch.equal(output.codes[:, 0], indices)
    torch.testing.assert_close(output.z_hat, expected.transpose(1, 2))
    losses = {name: value.mean() for name, value in output.losses.items()}
    # the package takes the logarithm of 1e-5 for smaller probabilities
    torch.testing.assert_close(losses["entropy"], parts.per_sample_entropy, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(-losses["diversity"], parts.batch_entropy, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses["commitment"], parts.commitment)
    total = losses["entropy"] + 0.7 * losses["diversity"] + 0.3 * losses["commitment"]
    (total + (output.z_hat * g).sum()).backward()
    (loss + (expected * g.transpose(1, 2)).sum()).backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)
    assert torch.equal(ours.eval().decode(output.codes), output.z_q)
    torch.testing.assert_close(output.z_q, theirs.indices_to_codes(indices).transpose(1, 2))


def test_diversity_has_the_value_and_the_gradient_of_the_entropy_of_the_mean_probability():
    quantizer, z = LFQ(4, temperature=2.0), draw(3, 4, 25).double().requires_grad_()
    codes = quantizer.decode(torch.arange(16)[None, None])[0].double()
    q = (-(z.transpose(1, 2)[..., None] - codes).square().sum(2) / 2.0).softmax(-1)
    expected = -torch.special.entr(q.mean((0, 1))).sum()
    found = quantizer._entropies(z)["diversity"].mean()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, z)[0] for each in (found, expected)))


def test_bits_in_groups_have_the_entropy_of_independent_groups():
    z = draw(2, 6, 40)
    whole = LFQ(6, temperature=1.0, group=2)(z).losses
    parts = [LFQ(2, temperature=1.0)(z[:, 2 * group : 2 * group + 2]).losses for group in range(3)]
    for name in ("entropy", "diversity"):
        torch.testing.assert_close(whole[name], sum(part[name] for part in parts))


@pytest.mark.parametrize("levels", [(8, 5, 4), (3, 3)])
def test_residual_fsq_is_vector_quantize_pytorchs_gradients_included(levels):
    package = pytest.importorskip("vector_quantize_pytorch", reason=NEEDED)
    theirs = package.ResidualFSQ(levels=list(levels), num_quantizers=3)
    ours = residual_fsq(levels, 3, residual="output_detached")
    one, other = pair(2, len(levels), 50)
    output, g = ours(one), draw(2, len(levels), 50, seed=1)
    expected, indices = theirs(other.transpose(1, 2))
    assert torch.equal(output.codes, indices.transpose(1, 2))
    torch.testing.assert_close(output.z_hat, expected.transpose(1, 2))
    (output.z_hat * g).sum().backward()
    (expected * g.transpose(1, 2)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(ours.decode(output.codes), theirs.get_output_from_indices(indices).transpose(1, 2))


def test_stages_of_fsq_are_together_one_uniform_quantizer_of_as_many_levels_as_their_product():
    z = torch.linspace(-1.24, 1.24, 997)[None, None]
    quantizer = ResidualVQ([FSQStage((5,), stage) for stage in range(2)]).eval()
    levels = 0.1 * torch.arange(-12, 13)
    torch.testing.assert_close(quantizer(z).z_hat, levels[(z[..., None] - levels).abs().argmin(-1)])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_k_means_is_vector_quantize_pytorchs(metric):
    package = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch", reason=NEEDED)
    frames = draw(300, 3)
    if metric == "cosine":
        frames = F.normalize(frames)
    start = frames[:12].clone()
    start[3] = 1e3 if metric == "euclidean" else -frames.mean(0)
    points, counts = k_means(frames, start, 7, metric)
    expected, bins = package.kmeans(
        frames[None], 12, num_iters=7, use_cosine_sim=metric == "cosine", sample_fn=lambda *_: start[None]
    )
    torch.testing.assert_close(points, expected[0])
    assert torch.equal(counts, bins[0].to(counts))


@pytest.mark.parametrize("make", [LearnedCodebook, EMACodebook])
def test_a_codebook_starts_on_the_first_batch_in_training_once_and_its_state_says_so(make):
    torch.manual_seed(0)
    clusters = 10 * draw(6, 3, seed=4)
    z = (clusters.repeat(40, 1) + 0.01 * draw(240, 3)).t()[None].requires_grad_()
    quantizer = VectorQuantizer(KMeansStart(make(24, 3, "euclidean")))
    first = quantizer.codebook.vectors().clone()
    quantizer.eval()(z)
    assert torch.equal(quantizer.codebook.vectors(), first)
    output = quantizer.train()(z)
    assert (output.z_q - z).abs().max() < 0.1
    sum(loss.sum() for loss in output.losses.values()).backward()  # the start is no change that autograd refuses
    resumed = VectorQuantizer(KMeansStart(make(24, 3, "euclidean")))
    resumed.load_state_dict(quantizer.state_dict())
    before = resumed.codebook.vectors().clone()
    resumed.codebook.quantize(z + 100)
    assert torch.equal(resumed.codebook.vectors(), before)
    resumed.load_state_dict(VectorQuantizer(KMeansStart(make(24, 3, "euclidean"))).state_dict())
    resumed.codebook.quantize(z + 100)
    assert (resumed.codebook.vectors() - 100).abs().max() < 60


def test_a_start_leaves_out_frames_that_are_not_finite_and_survives_a_batch_without_others():
    z = draw(1, 3, 50)
    z[0, 1, 4], z[0, 2, 7] = torch.nan, torch.inf
    for batch in (z, z[..., 4:5]):
        codebook = KMeansStart(EMACodebook(8, 3))
        codebook.quantize(batch)
        assert codebook.vectors().isfinite().all()
        assert codebook.started


def test_only_a_codebook_whose_points_are_free_can_start_on_k_means():
    with pytest.raises(ValueError, match="points of Levels cannot be put on k-means"):
        KMeansStart(Levels(4))
    with pytest.raises(ValueError, match="points of FixedCodebook cannot be put anywhere"):
        FixedCodebook(4, 2).place(torch.zeros(4, 2), torch.ones(4))


@pytest.mark.parametrize(("size", "dim"), [(6, 6), (4, 6), (50, 6)])
def test_orthogonal_points_are_at_right_angles_or_a_tight_frame(size, dim):
    torch.manual_seed(0)
    points = FixedCodebook(size, dim, points="orthogonal").vectors()
    product = points @ points.t() / dim if size <= dim else points.t() @ points / size
    torch.testing.assert_close(product, torch.eye(len(product)), rtol=0, atol=1e-5)
    torch.testing.assert_close(points.square().mean(), torch.tensor(1.0))


def test_fixed_points_are_looked_up_as_a_random_projection_quantizers():
    package = pytest.importorskip("vector_quantize_pytorch", reason=NEEDED)
    torch.manual_seed(0)
    theirs = package.RandomProjectionQuantizer(dim=8, codebook_size=20, codebook_dim=4, num_codebooks=1, norm=False)
    ours = FixedCodebook(20, 4, "cosine")
    ours.weight.copy_(theirs.vq.codebook[0])
    z = draw(2, 8, 50)
    projected = torch.einsum("bdt,de->bet", z, theirs.rand_projs[0])
    assert torch.equal(ours.nearest(projected)[:, 0], theirs(z.transpose(1, 2)))


def test_a_product_of_residual_quantizers_is_vector_quantize_pytorchs_grouped_one():
    package = pytest.importorskip("vector_quantize_pytorch", reason=NEEDED)
    theirs = package.GroupedResidualVQ(
        dim=8, groups=2, num_quantizers=3, codebook_size=20, threshold_ema_dead_code=0, rotation_trick=False, decay=0.8
    )
    groups = [
        ResidualVQ([VectorQuantizer(EMACodebook(20, 4, decay=0.8, least=0.0)) for _ in range(3)],
                   residual="output_detached")
        for _ in range(2)
    ]  # fmt: skip
    for group, rvq in zip(groups, theirs.rvqs, strict=True):
        for stage, layer in zip(group.stages, rvq.layers, strict=True):
            stage.codebook.place(layer._codebook.embed[0], torch.ones(20))
    ours = ProductQuantizer(8, groups)
    for update in range(3):
        z = draw(2, 8, 60, seed=update)
        output, (expected, indices, loss) = ours(z), theirs(z.transpose(1, 2))
        assert torch.equal(output.codes, indices.permute(0, 1, 3, 2).transpose(0, 1).flatten(1, 2))
        torch.testing.assert_close(output.z_hat, expected.transpose(1, 2), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(output.losses["commitment"].mean(), loss.sum() / 2, rtol=1e-4, atol=1e-5)


def test_a_projected_stage_is_a_factorized_one_for_the_same_codebook():
    torch.manual_seed(0)
    ours = ProjectedStage(8, VectorQuantizer(LearnedCodebook(20, 3)))
    theirs = FactorizedVQ(8, LearnedCodebook(20, 3))
    theirs.load_state_dict({name.removeprefix("stage."): value for name, value in ours.state_dict().items()})
    one, other = pair(2, 8, 50)
    first, second = ours(one), theirs(other)
    for name in ("codes", "z_hat", "z_q"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    first.z_hat.square().sum().backward()
    second.z_hat.square().sum().backward()
    assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LFQ(0), "bits=0 make no code"),
        (lambda: LFQ(6, group=4), "group=4 does not divide bits=6"),
        (lambda: LFQ(6, scale=0), "scale=0 must be positive"),
        (lambda: BSQ(6, temperature=0), "temperature=0 must be positive"),
        (lambda: FSQStage((8, 1)), r"levels=\(8, 1\) must be 2 or more"),
        (lambda: FSQStage((8,), stage=-1), "stage=-1 must be 0"),
        (lambda: residual_fsq((8, 5), 2)(torch.zeros(1, 3, 4)), r"built for dim=2, not .*\(1, 3, 4\)"),
        (lambda: ProductQuantizer(8, [LFQ(2)] * 3), "dim=8 channels cannot be divided into 3"),
        (lambda: FixedCodebook(4, 2, points="grid"), "points='grid' is no way to draw points"),
        (lambda: KMeansStart(EMACodebook(4, 2), iterations=0), "iterations=0 must be 1 or more"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()
