import pytest
import torch

from qcodec import STE, ModifiedSTE
from qcodec.functional import modified_straight_through, nearest_level, noise_approximation, straight_through
from qcodec.quantizers.estimators import scope_dims

SCOPES = ["tensor", "sample", "channel", "frame"]


def embedding(dtype=torch.float64, shape=(3, 5, 7), seed=0):
    return (2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("magnitude", ["std", "rms"])
def test_mste_gradient_is_that_of_its_forward_formula_and_of_the_closed_form(scope, magnitude):
    z, g = embedding().requires_grad_(), embedding(seed=1)
    z_q = nearest_level(z.detach(), 4)[1]
    dims = scope_dims(scope)
    (by_closed_form,) = torch.autograd.grad(modified_straight_through(z, z_q, dims, magnitude), z, g)

    q = z_q - z
    sigma = q.std(dims, keepdim=True) if magnitude == "std" else q.square().mean(dims, keepdim=True).sqrt()
    (by_autograd,) = torch.autograd.grad(z + q.detach() * sigma / sigma.detach(), z, g)
    torch.testing.assert_close(by_closed_form, by_autograd, rtol=0, atol=1e-12)

    q = q.detach()
    off_centre = q - q.mean(dims, keepdim=True) if magnitude == "std" else q
    inner, power = (g * q).sum(dims, keepdim=True), off_centre.square().sum(dims, keepdim=True)
    torch.testing.assert_close(by_closed_form, g - off_centre * inner / power, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scope", SCOPES)
def test_with_rms_the_gradient_has_no_part_along_the_error(scope):
    z = embedding().requires_grad_()
    z_q, dims = nearest_level(z.detach(), 4)[1], scope_dims(scope)
    (grad,) = torch.autograd.grad(modified_straight_through(z, z_q, dims, "rms"), z, embedding(seed=1))
    along = (grad * (z_q - z)).sum(dims)
    torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("estimator", [STE(), *(ModifiedSTE(scope) for scope in SCOPES)])
def test_forward_is_the_hard_value_bit_for_bit_in_every_dtype(estimator, dtype):
    z = (5 * embedding(torch.float32)).to(dtype).requires_grad_()
    z_q = nearest_level(z.detach(), 4, step=0.37)[1]
    out = estimator(z, z_q)
    assert torch.equal(out, z_q)
    assert not torch.equal(z + (z_q - z), z_q), "the textbook formula would have rounded: the test says something"
    out.float().square().sum().backward()
    assert z.grad.dtype == dtype
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("magnitude", ["std", "rms"])
def test_mste_passes_the_gradient_on_where_the_error_is_zero(scope, magnitude):
    z = nearest_level(embedding(torch.float32), 4)[1].requires_grad_()
    g = embedding(torch.float32, seed=1)
    (grad,) = torch.autograd.grad(modified_straight_through(z, z.detach(), scope_dims(scope), magnitude), z, g)
    assert torch.equal(grad, g)


@pytest.mark.parametrize("magnitude", ["std", "rms"])
def test_mste_is_finite_where_the_error_is_the_same_everywhere(magnitude):
    z = torch.full((1, 5, 7), 0.3, requires_grad=True)
    modified_straight_through(z, torch.full((1, 5, 7), 0.5), (1, 2), magnitude).square().sum().backward()
    assert z.grad.isfinite().all()


def test_ste_passes_the_gradient_unchanged_and_none_to_the_quantized_value():
    z, z_q, g = embedding().requires_grad_(), embedding(seed=2).requires_grad_(), embedding(seed=1)
    straight_through(z, z_q).backward(g)
    assert torch.equal(z.grad, g)
    assert z_q.grad is None


def test_noise_approximation_has_the_gradient_of_its_closed_form():
    z, noise, g = embedding().requires_grad_(), embedding(seed=2), embedding(seed=1)
    gain = torch.rand(3, 1, 1, dtype=torch.float64)
    (grad,) = torch.autograd.grad(noise_approximation(z, noise, gain, (1, 2)), z, g)
    z = z.detach()
    n, mean, std = 35, z.mean((1, 2), keepdim=True), z.std((1, 2), keepdim=True)
    expected = g + (z - mean) / ((n - 1) * std) * (gain * g * noise).sum((1, 2), keepdim=True)
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("levels", "step"), [(2, 1.0), (3, 0.5), (4, 1.0), (5, 2.0), (16, 0.25)])
def test_nearest_level_is_the_nearest_of_all_levels(levels, step):
    z = embedding()
    grid = (torch.arange(levels, dtype=torch.float64) - (levels - 1) / 2) * step
    distance, index = (z[..., None] - grid).abs().min(-1)
    code, value = nearest_level(z, levels, step)
    assert torch.equal(code, index)
    torch.testing.assert_close((value - z).abs(), distance)


def test_nearest_level_sends_ties_up_and_keeps_nan_and_infinity_apart():
    code, value = nearest_level(torch.tensor([-1.0, 0.0, 1.0, torch.inf, -torch.inf, torch.nan]), 4)
    assert code.tolist()[:5] == [1, 2, 3, 3, 0]
    assert value[:5].tolist() == [-0.5, 0.5, 1.5, 1.5, -1.5]
    assert value[5].isnan()


def test_an_unknown_magnitude_is_named_with_its_remedy():
    z = embedding()
    with pytest.raises(ValueError, match="magnitude 'var' is unknown: choose 'std' or 'rms'"):
        modified_straight_through(z, z, (1, 2), "var")
