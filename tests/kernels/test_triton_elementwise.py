"""The kernels of what lies between two stacks on a GPU; without one, Triton interprets them."""

import pytest
import torch
from torch import Tensor

from qcodec import functional
from qcodec.kernels import autograd
from qcodec.kernels.elementwise import elementwise
from qcodec.kernels.triton_elementwise import TritonElementwise, triton_elementwise
from qcodec.quantizers.estimators import scope_dims

pytest.importorskip("qcodec.kernels.triton_elementwise_kernels", reason="no Triton", exc_type=ImportError)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [(1, 1, 1), (2, 3, 7), (2, 3, 2100)]  # the last has rows of two chunks


def values(shape, seed=0, scale=2.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def modified(scope: str, magnitude: str):
    return lambda z, other: functional.modified_straight_through(z, other, scope_dims(scope), magnitude)


def noisy(z: Tensor, other: Tensor) -> Tensor:
    return functional.noise_approximation(z, other, values((len(z), 1, 1), seed=8).abs().to(z), (1, 2))


FUNCTIONS = {
    "mean square": functional.mean_squared_error,
    "mean square with one target": lambda z, other: functional.mean_squared_error(z, other[:1]),
    "mste tensor std": modified("tensor", "std"),
    "mste sample std": modified("sample", "std"),
    "mste channel rms": modified("channel", "rms"),
    "noise": noisy,
}


@pytest.fixture
def by_triton(monkeypatch):
    def chosen(*tensors: Tensor) -> TritonElementwise | None:
        return TritonElementwise() if all(tensor.dtype == torch.float32 for tensor in tensors) else None

    for module in (autograd, functional):
        monkeypatch.setattr(module, "elementwise", chosen)


def outcome(function, z: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Value, and gradient for an arbitrary gradient of the value."""
    z = z.clone().requires_grad_()
    y = function(z, other)
    return y.detach(), torch.autograd.grad(y, z, values(y.shape, seed=5).to(y))[0]


def assert_exact(function, z: Tensor, other: Tensor) -> None:
    found, expected = outcome(function, z, other), outcome(function, z.double(), other.double())
    for ours, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=1e-6, atol=3e-7 * exact.abs().max().item())


@pytest.mark.usefixtures("by_triton")
@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_value_and_gradient_are_those_of_pytorchs_operations_in_double_precision(name, shape):
    assert_exact(FUNCTIONS[name], values(shape), values(shape, seed=1, scale=1.0))


@pytest.mark.usefixtures("by_triton")
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero) encountered:RuntimeWarning")
@pytest.mark.parametrize("name", ["mean square", "mste sample std"])
def test_a_single_value_is_a_row_too(name):
    assert_exact(FUNCTIONS[name], values(SHAPES[0]), values(SHAPES[0], seed=1))


def test_sums_lose_nothing_beside_a_large_mean():
    z, noise = 1000 + values((1, 3, 2100)), values((1, 3, 2100), seed=1)
    found = TritonElementwise().noisy(z, noise, torch.ones(1, 1, 1, device=DEVICE))[1]
    exact = torch.stack([z.double().mean(), z.double().std()])
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=0)


@pytest.mark.usefixtures("by_triton")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "tensor" not in name])
def test_a_number_that_is_not_finite_stays_visible_and_spoils_no_other_sample(name):
    z, other = values((3, 5, 40)), values((3, 5, 40), seed=1)
    expected = outcome(FUNCTIONS[name], z, other)
    z[1, 2, 3] = torch.nan
    found = outcome(FUNCTIONS[name], z, other)
    assert not all(tensor[1].isfinite().all() for tensor in found)
    for ours, before in zip(found, expected, strict=True):
        assert torch.equal(ours[[0, 2]], before[[0, 2]])


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@pytest.mark.parametrize(("levels", "step"), [(2, 1.0), (3, 0.5), (4, 1.0), (5, 0.37), (65536, 1e-3)])
def test_nearest_levels_are_those_of_the_cpu_bit_for_bit(monkeypatch, levels, step):
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    z = torch.cat([
        values((3001,), scale=levels * step).cpu(),
        torch.arange(-8, 8) * step / 2,
        torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 3e38, 1e-45]),
    ])  # fmt: skip
    index, value = TritonElementwise().nearest_level(z.to(DEVICE), levels, step)
    expected_index, expected_value = functional.nearest_level(z, levels, step)
    assert torch.equal(index.cpu(), expected_index)
    torch.testing.assert_close(value.cpu(), expected_value, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("by_triton")
def test_the_mean_absolute_value_is_that_of_each_sample():
    z = values((3, 5, 500))
    torch.testing.assert_close(functional.mean_absolute(z), z.double().abs().mean((1, 2)).float(), rtol=1e-6, atol=0)


@pytest.mark.usefixtures("by_triton")
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero) encountered:RuntimeWarning")
def test_nothing_is_added_to_the_gradient_where_nothing_deviates():
    z = torch.full((1, 2, 4), 0.5, device=DEVICE)
    y, gradient = outcome(noisy, z, values((1, 2, 4)))
    assert torch.equal(y, z)
    assert torch.equal(gradient, values((1, 2, 4), seed=5))
    _, gradient = outcome(modified("sample", "std"), z, z)
    assert torch.equal(gradient, values((1, 2, 4), seed=5))


def test_tensors_of_the_cpu_are_left_alone():
    z = torch.ones(1, 2, 3)
    assert triton_elementwise(z) is None
    assert not isinstance(elementwise(z), TritonElementwise)


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_a_gpu_takes_the_kernels_also_in_a_graph(monkeypatch, name):
    z, other = values((50, 30, 2000)), values((50, 30, 2000), seed=1)
    assert isinstance(elementwise(z, other), TritonElementwise)
    assert_exact(FUNCTIONS[name], z, other)
    kernels, grad = TritonElementwise(), torch.ones(50, device=DEVICE)

    def work() -> list[Tensor]:
        return [
            *kernels.nearest_level(z, 4, 1.0), kernels.mean_square(z, other, 50),
            kernels.mean_square_gradient(z, other, grad), kernels.modified_gradient(z, other, z, True, 50),
        ]  # fmt: skip

    expected = work()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = work()
    graph.replay()
    assert all(map(torch.equal, found, expected))
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    assert elementwise(z, other) is None
