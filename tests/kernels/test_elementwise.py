"""The kernels between encoder and decoder compute what PyTorch's operations compute."""

import pytest
import torch
from torch import Tensor

from qcodec.functional import (
    mean_absolute,
    mean_squared_error,
    modified_straight_through,
    nearest_level,
    noise_approximation,
)
from qcodec.kernels.elementwise import elementwise
from qcodec.quantizers.estimators import scope_dims

SHAPES = [(1, 1, 1), (2, 3, 7), (3, 30, 500)]  # the last has rows of several chunks
SCOPES = ["tensor", "sample", "channel", "frame"]


def values(shape, seed=0, scale=2.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mean_square(z: Tensor, other: Tensor) -> Tensor:
    return mean_squared_error(z, other)


def modified(scope: str, magnitude: str = "std"):
    return lambda z, other: modified_straight_through(z, other, scope_dims(scope), magnitude)


def noisy(z: Tensor, other: Tensor) -> Tensor:
    return noise_approximation(z, other, values((len(z), 1, 1), seed=8).abs(), (1, 2))


FUNCTIONS = {
    "mean square": mean_square,
    **{f"mste {scope} {magnitude}": modified(scope, magnitude) for scope in SCOPES for magnitude in ("std", "rms")},
    "noise": noisy,
}


@pytest.fixture(autouse=True)
def with_kernels(monkeypatch):
    monkeypatch.delenv("QCODEC_KERNELS", raising=False)
    if elementwise(torch.ones(1)) is None:
        pytest.skip("no C++ compiler")
    yield
    torch.set_num_threads(1)


def outcome(function, z: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Value, and gradient for an arbitrary gradient of the value."""
    z = z.clone().requires_grad_()
    y = function(z, other)
    return y.detach(), torch.autograd.grad(y, z, values(y.shape, seed=5))[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_value_and_gradient_are_those_of_pytorchs_operations_in_double_precision(name, shape):
    if shape == (1, 1, 1) and name == "noise":
        pytest.skip("a single value has no deviation")
    function, z, other = FUNCTIONS[name], values(shape), values(shape, seed=1, scale=1.0)
    got, expected = outcome(function, z, other), outcome(function, z.double(), other.double())
    for fast, exact in zip(got, expected, strict=True):
        torch.testing.assert_close(fast.double(), exact.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_a_sample_is_treated_as_if_it_were_alone_and_on_any_number_of_threads(name):
    function, z, other = FUNCTIONS[name], values((4, 30, 700)), values((4, 30, 700), seed=1)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(outcome(function, z, other))
    assert all(map(torch.equal, results[0], results[1]))
    assert all(map(torch.equal, results[0], results[2]))
    if "tensor" not in name and name != "noise":  # its gains are drawn for the batch
        y = function(z[:1].clone().requires_grad_(), other[:1])
        assert torch.equal(y, results[0][0][:1])


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_a_number_that_is_not_finite_stays_visible_and_spoils_no_other_sample(name):
    function, z, other = FUNCTIONS[name], values((3, 5, 40)), values((3, 5, 40), seed=1)
    expected = outcome(function, z, other)
    z[1, 2, 3] = torch.nan
    got = outcome(function, z, other)
    assert not all(t[1].isfinite().all() for t in got)
    if "tensor" not in name:
        for t, e in zip(got, expected, strict=True):
            assert torch.equal(t[[0, 2]], e[[0, 2]])


@pytest.mark.parametrize(("levels", "step"), [(2, 1.0), (3, 0.5), (4, 1.0), (5, 0.37), (16, 1.0), (65536, 1e-3)])
def test_nearest_levels_are_those_of_pytorchs_operations_bit_for_bit(monkeypatch, levels, step):
    z = torch.cat([
        values((9001,), scale=levels * step),
        torch.arange(-8, 8) * step / 2,
        torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 3e38, 1e-45]),
    ])  # fmt: skip
    index, value = nearest_level(z, levels, step)
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    expected_index, expected_value = nearest_level(z, levels, step)
    assert torch.equal(index, expected_index)
    torch.testing.assert_close(value, expected_value, rtol=0, atol=0, equal_nan=True)


def test_the_mean_absolute_value_is_that_of_each_sample():
    z = values((3, 30, 500))
    torch.testing.assert_close(mean_absolute(z), z.double().abs().mean((1, 2)).float())
    assert mean_absolute(torch.full((1, 2, 2), torch.inf)).item() == torch.inf


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_tensors_that_are_not_contiguous_or_share_a_gradient_give_the_same(name):
    function, z, other = FUNCTIONS[name], values((2, 6, 40)), values((2, 6, 40), seed=1)
    expected = outcome(function, z, other)
    strided = (t.mT.contiguous().mT for t in (z, other))
    for got, value in zip(outcome(function, *strided), expected, strict=True):
        torch.testing.assert_close(got, value)
    leaf = z.clone().requires_grad_()
    function(leaf, other).sum().backward()  # its gradient is an expanded scalar
    assert leaf.grad.isfinite().all()


def test_nothing_is_added_to_the_gradient_where_the_embedding_does_not_deviate():
    z = torch.full((1, 2, 4), 0.3)
    y, grad = outcome(noisy, z, values((1, 2, 4)))
    assert torch.equal(y, z)
    assert torch.equal(grad, values((1, 2, 4), seed=5))


def test_the_noise_approximation_can_be_differentiated_twice(monkeypatch):
    def penalty(z: Tensor) -> Tensor:
        z = z.clone().requires_grad_()
        (grad,) = torch.autograd.grad(noisy(z, values(z.shape, seed=1)).square().sum(), z, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), z)[0]

    got = penalty(z := values((2, 3, 5)))
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    torch.testing.assert_close(got, penalty(z), rtol=1e-4, atol=1e-4)


def test_a_function_that_is_mapped_over_a_batch_takes_pytorchs_operations():
    z = values((3, 1, 2, 5))
    torch.testing.assert_close(torch.func.vmap(mean_absolute)(z)[:, 0], mean_absolute(z[:, 0]))


def test_a_level_of_a_value_with_a_gradient_passes_none():
    z = values((1, 2, 3)).requires_grad_()
    assert torch.equal(nearest_level(z, 4)[1], nearest_level(z.detach(), 4)[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_left_to_pytorch(dtype):
    assert elementwise(torch.ones(1, dtype=dtype)) is None
    assert elementwise(torch.ones(0)) is None


def test_tensors_of_other_shapes_are_left_to_pytorch():
    z = values((2, 3, 4))
    assert elementwise(z, z[:1]) is None
    torch.testing.assert_close(mean_squared_error(z, z[:1]), mean_squared_error(z, z[:1].repeat(2, 1, 1)))
    shared, own = (noise_approximation(z, z, torch.full(shape, 0.5), (1, 2)) for shape in ((), (2, 1, 1)))
    torch.testing.assert_close(shared, own)
    with pytest.raises(IndexError):
        mean_absolute(z[0])
