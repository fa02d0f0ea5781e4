"""Estimators from an embedding and its point: closed forms in float64, and independent implementations."""

import pytest
import torch

from qcodec import (
    NSVQ,
    AdditiveUniformNoise,
    DetachedDiVeQ,
    LearnedCodebook,
    ModifiedSTE,
    RotationTrick,
    VectorQuantizer,
)
from qcodec.quantizers import nsvq as nsvq_module


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def frames(z):
    """Bring ``(B, D, T)`` to the references' ``(B T, D)``."""
    return z.transpose(1, 2).flatten(0, 1)


def gradients(estimator, z, c, g):
    """Return what an estimator hands to the embedding and to its point for the decoder's gradient ``g``."""
    z, c = z.clone().requires_grad_(), c.clone().requires_grad_()
    return torch.autograd.grad((estimator(z, c) * g).sum(), (z, c), materialize_grads=True)


Z, C, G = (draw(3, 5, 7, seed=seed) for seed in range(3))


def along_error(direction):
    """Return ``<g, u> e / ||e||`` in each frame, with ``u`` the unit vector of a direction."""
    u, e = (x / x.norm(dim=1, keepdim=True) for x in (direction, C - Z))
    return (G * u).sum(1, keepdim=True) * e


def test_nsvqs_gradients_are_their_closed_form(monkeypatch):
    noise = draw(3, 5, 7, seed=3)
    monkeypatch.setattr(nsvq_module, "normal_like", lambda x: noise)
    along = along_error(noise)
    torch.testing.assert_close(gradients(NSVQ(), Z, C, G), (G - along, along))
    torch.testing.assert_close((NSVQ()(Z, C) - Z).norm(dim=1), (C - Z).norm(dim=1))


def test_nsvq_is_that_of_its_authors_package(monkeypatch):
    package = pytest.importorskip("nsvq", reason="needs the package nsvq")
    theirs = package.NSVQ(20, 4, codebook_reset=False, allow_warning=False)
    ours = VectorQuantizer(LearnedCodebook(20, 4, "euclidean"), NSVQ())
    points, noise = draw(20, 4, seed=1).float(), draw(2, 4, 30, seed=2).float()
    with torch.no_grad():
        theirs.codebook.copy_(points)
        ours.codebook.weight.copy_(points)
    monkeypatch.setattr(torch.distributions.normal.Normal, "sample", lambda self, shape: frames(noise))
    monkeypatch.setattr(nsvq_module, "normal_like", lambda x: noise)
    z, g = draw(2, 4, 30).float(), draw(2, 4, 30, seed=3).float()
    one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
    output = ours(one)
    expected, indices, _ = theirs(frames(other))
    assert torch.equal(output.codes.flatten(), indices)
    torch.testing.assert_close(frames(output.z_hat), expected)
    (output.z_hat * g).sum().backward()
    (expected * frames(g)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.codebook.weight.grad, theirs.codebook.grad, rtol=1e-5, atol=1e-5)


def test_detached_diveqs_gradients_are_their_closed_form_and_its_value_the_point():
    along = along_error(C - Z)
    torch.testing.assert_close(gradients(DetachedDiVeQ(), Z, C, G), (G - along, along))
    assert torch.equal(DetachedDiVeQ()(Z.bfloat16(), C.bfloat16()), C.bfloat16())


def test_detached_diveqs_gradient_of_the_embedding_is_that_of_mste_with_one_rms_a_frame():
    expected, _ = gradients(ModifiedSTE("frame", "rms"), Z, C, G)
    torch.testing.assert_close(gradients(DetachedDiVeQ(), Z, C, G)[0], expected)
    expected = gradients(ModifiedSTE("frame", "rms", trains_codebook=True), Z, C, G)
    torch.testing.assert_close(gradients(DetachedDiVeQ(), Z, C, G), expected)


def test_detached_diveq_is_that_of_its_authors_package():
    package = pytest.importorskip("diveq", reason="needs the package diveq")
    theirs = package.DIVEQDetach(20, 4, codebook_reset=False, allow_warning=False)
    ours = VectorQuantizer(LearnedCodebook(20, 4, "euclidean"), DetachedDiVeQ())
    with torch.no_grad():
        theirs.codebook.copy_(draw(20, 4, seed=1))
        ours.codebook.weight.copy_(draw(20, 4, seed=1))
    z, g = draw(2, 4, 30).float(), draw(2, 4, 30, seed=3).float()
    one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
    (ours(one).z_hat * g).sum().backward()
    (theirs(frames(other))[0] * frames(g)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.codebook.weight.grad, theirs.codebook.grad, rtol=1e-5, atol=1e-5)


def rotation(a, b):
    """Return the matrix that turns the direction of ``a`` into that of ``b`` in their plane, by its exponential."""
    a, rest = a / a.norm(), b - (b @ a) / (a @ a) * a
    across = rest / rest.norm()
    angle = torch.atan2(b @ across, b @ a)
    return torch.linalg.matrix_exp(angle * (torch.outer(across, a) - torch.outer(a, across)))


def test_the_rotation_trick_turns_the_gradient_back_by_the_rotation_from_the_embedding_to_the_point():
    found, of_point = gradients(RotationTrick(), Z, C, G)
    for z, c, g, gradient in zip(*(frames(x) for x in (Z, C, G, found)), strict=True):
        scaled = c.norm() / z.norm() * rotation(z, c)
        torch.testing.assert_close(scaled @ z, c)
        torch.testing.assert_close(gradient, scaled.T @ g)
    assert not of_point.any()
    assert torch.equal(RotationTrick()(Z, C), C)


def test_the_rotation_trick_is_vector_quantize_pytorchs():
    module = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch", reason="needs that package")
    z = frames(Z).clone().requires_grad_()
    (expected,) = torch.autograd.grad((module.rotate_to(z, frames(C)) * frames(G)).sum(), z)
    torch.testing.assert_close(frames(gradients(RotationTrick(), Z, C, G)[0]), expected)


def test_the_rotation_trick_is_vqrotates_but_for_its_direction():
    """It hands down ``R g`` and not ``R^T g``: what is right for an embedding and a point that change places."""
    package = pytest.importorskip("vqrotate", reason="needs the package vqrotate")
    z = frames(Z).float().requires_grad_()
    rotated = package.RotationQuantization.apply(z, frames(C).float(), "rotation", False, 1e-8)
    (expected,) = torch.autograd.grad((rotated * frames(G).float()).sum(), z)
    ratio = (C.norm(dim=1, keepdim=True) / Z.norm(dim=1, keepdim=True)).square()
    found = gradients(RotationTrick(), C, Z, G)[0] * ratio
    torch.testing.assert_close(frames(found).float(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_rotation_trick_passes_gradients_where_no_rotation_is_singled_out(dtype):
    z, g = Z.to(dtype), G.to(dtype)
    zero = torch.zeros_like(z)
    torch.testing.assert_close(gradients(RotationTrick(), z, -2 * z, g)[0], 2 * g)
    assert torch.equal(gradients(RotationTrick(), zero, z, g)[0], g)
    assert torch.equal(gradients(RotationTrick(), zero, zero, g)[0], g)
    assert gradients(RotationTrick(), z, zero, g)[0].abs().max() < 1e-30
    torch.testing.assert_close(gradients(RotationTrick(), z, z, g)[0], g, rtol=1e-2 if dtype.itemsize == 2 else 1e-5,
                               atol=1e-5)  # fmt: skip
    for tiny in (1e-30, 1e30):
        assert gradients(RotationTrick(), z * tiny, C.to(dtype), g)[0].isfinite().all()


def test_uniform_noise_is_as_wide_as_a_step_and_passes_the_gradient_of_the_identity():
    torch.manual_seed(0)
    z = torch.randn(1, 4, 50_000, dtype=torch.float64)
    noise = AdditiveUniformNoise(step=0.5)(z, z.round()) - z
    assert noise.abs().max() <= 0.25
    assert noise.var().item() == pytest.approx(0.25 / 12, rel=0.02)
    assert abs(noise.mean().item()) < 2e-3
    found, of_point = gradients(AdditiveUniformNoise(), Z, C, G)
    assert torch.equal(found, G)
    assert not of_point.any()


@pytest.mark.parametrize("estimator", [NSVQ(), DetachedDiVeQ(), RotationTrick()])
def test_without_an_error_the_gradient_passes_unchanged(estimator):
    torch.testing.assert_close(gradients(estimator, Z, Z, G)[0], G)
