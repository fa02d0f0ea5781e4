"""Layers around a quantizer: closed forms, what decoding makes of them, and gradients where nothing is."""

import pytest
import torch
from torch.nn import functional as F

from qcodec import (
    Bounded,
    Dropout,
    EMACodebook,
    L2Normalization,
    LayeredQuantizer,
    LayerNorm,
    LearnedCodebook,
    ModifiedSTE,
    ProductQuantizer,
    ScalarQuantizer,
    Whitening,
    product_vq,
)

LAYERS = {
    "bounded": lambda: Bounded(2.0),
    "dropout": lambda: Dropout(0.3),
    "layer_norm": LayerNorm,
    "l2": L2Normalization,
    "whitening": lambda: Whitening(6),
}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_layer_norm_is_torchs():
    z = draw(2, 6, 5)
    expected = F.layer_norm(z.transpose(1, 2), (6,), eps=1e-5).transpose(1, 2)
    torch.testing.assert_close(LayerNorm()(z), expected)


def test_l2_normalisation_brings_frames_to_one_length_and_keeps_their_direction():
    z = draw(2, 6, 5)
    torch.testing.assert_close(L2Normalization(eps=1e-12)(z), F.normalize(z, dim=1) * 6**0.5)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    dropped = Dropout(0.3)(torch.ones(1, 100, 1000))
    assert (dropped == 0).double().mean() == pytest.approx(0.3, abs=0.01)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    z = draw(1, 3, 4)
    assert torch.equal(Dropout(0.3).eval()(z), z)


def test_whitening_makes_the_covariance_the_identity_also_in_evaluation():
    torch.manual_seed(0)
    mixed = draw(6, 6, seed=1) @ draw(3, 6, 2000) + draw(6, 1, seed=2)
    layer = Whitening(6, decay=0.9, eps=1e-9).double()
    for white in (layer(mixed), layer.eval()(mixed)):
        frames = white.transpose(0, 1).flatten(1)
        torch.testing.assert_close(frames.mean(1), torch.zeros(6).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(frames.cov(correction=0), torch.eye(6).double(), atol=1e-6, rtol=0)


def test_whitening_averages_evenly_at_first_and_then_with_its_decay():
    layer, batches = Whitening(1, decay=0.75).double(), draw(6, 1, 1, 50)
    for batch in batches:
        layer(batch)
    means = batches.mean((1, 2, 3))
    expected = means[:4].mean()
    for mean in means[4:]:
        expected = 0.75 * expected + 0.25 * mean
    torch.testing.assert_close(layer.mean[0], expected)


def test_whitening_passes_the_gradient_of_its_statistics_so_that_growing_gains_nothing():
    z = draw(2, 6, 50).requires_grad_()
    (Whitening(6, eps=1e-12).double()(z) * draw(2, 6, 50, seed=1)).sum().backward()
    assert (z.grad * z).sum().abs() < 1e-8 * z.grad.norm() * z.norm()  # the output does not depend on the scale


@pytest.mark.parametrize("make", LAYERS.values(), ids=list(LAYERS))
def test_gradients_are_finite_at_zero_and_where_channels_are_equal(make):
    for z in (torch.zeros(1, 6, 4), torch.ones(1, 6, 4)):
        z.requires_grad_()
        output = LayeredQuantizer(ScalarQuantizer(estimator=ModifiedSTE()), before=[make()])(z)
        (output.z_hat.square().sum() + output.losses["commitment"].sum()).backward()
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("make", LAYERS.values(), ids=list(LAYERS))
def test_what_is_quantized_is_what_the_layer_makes_and_what_is_decoded_what_the_layer_after_makes(make):
    z = 2 * draw(2, 6, 40).float()
    before, after = make().eval(), make().eval()
    quantizer = LayeredQuantizer(ScalarQuantizer(5), before=[before], after=[after]).eval()
    output = quantizer(z)
    inside = ScalarQuantizer(5).eval()(before(z))
    assert torch.equal(output.codes, inside.codes)
    assert torch.equal(output.latents, before(z))
    assert torch.equal(output.z_hat, after(inside.z_hat))
    assert torch.equal(quantizer.decode(output.codes), output.z_hat)


def test_dropout_is_not_deployed():
    bare = ScalarQuantizer()
    assert LayeredQuantizer(bare, before=[Dropout()], after=[Dropout()]).deployed() is bare
    kept = LayeredQuantizer(bare, before=[Dropout(), Bounded(2.0)]).eval().deployed()
    z = draw(1, 3, 4).float()
    assert torch.equal(kept(z).latents, Bounded(2.0)(z))


def test_the_quantized_value_of_training_is_the_one_without_dropout():
    torch.manual_seed(0)
    output = LayeredQuantizer(ScalarQuantizer(), after=[Dropout(0.5)])(draw(1, 3, 40).float())
    assert torch.equal(output.z_q, ScalarQuantizer()(draw(1, 3, 40).float()).z_q)
    assert (output.z_hat == 0).any()


def test_a_product_of_equal_vector_quantizers_has_codebooks_of_its_own():
    quantizer = product_vq(6, 3, LearnedCodebook(5, 2, "euclidean"))
    parts = [part.codebook.weight for part in quantizer.parts]
    assert isinstance(quantizer, ProductQuantizer)
    assert not torch.equal(parts[0], parts[1])
    assert quantizer.code_sizes(6) == (5, 5, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayeredQuantizer(ScalarQuantizer()), "no layers before or after"),
        (lambda: Bounded(-1.0), "reach=-1.0 must be positive"),
        (lambda: Bounded((1.0, 2.0))(torch.zeros(1, 3, 4)), "Bounded was built for dim=2"),
        (lambda: Dropout(1.0), "probability=1.0"),
        (lambda: LayerNorm(0.0), "eps=0.0"),
        (lambda: Whitening(0), "dim=0"),
        (lambda: Whitening(4)(torch.zeros(1, 3, 4)), "Whitening was built for dim=4"),
        (lambda: product_vq(7, 3, EMACodebook(5, 2)), "3 groups of codebook.dim=2 are not dim=7"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_layer_that_is_none_is_refused_with_its_place():
    with pytest.raises(TypeError, match=r"after\[0\] is the class Dropout: give"):
        LayeredQuantizer(ScalarQuantizer(), after=[Dropout])
