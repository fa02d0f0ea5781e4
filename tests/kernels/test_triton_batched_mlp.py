"""The kernels that compute the batched MLP on a GPU; without one, Triton interprets them."""

import math

import pytest
import torch
from torch import Tensor

from qcodec.kernels import triton_batched_mlp, triton_launch
from qcodec.kernels.batched_mlp import Layers, kernel
from qcodec.kernels.triton_batched_mlp import TritonKernel, triton_kernel
from qcodec.layers.batched_mlp import _plain

pytest.importorskip("qcodec.kernels.triton_batched_mlp_kernels", reason="no Triton", exc_type=ImportError)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ENCODER = Layers((30, 30, 30, 30), (True, True, False), (True, True, False), skip_after=False, slope_per_channel=False)
DECODER = Layers((60, 30, 30, 30), (False, True, False), (True,) * 3, skip_after=False, slope_per_channel=False)
AFTER = Layers((16, 16, 16, 9), (True, True, False), (True, False, True), skip_after=True, slope_per_channel=True)
ODD = Layers((17, 2, 33, 33, 5), (False, False, True, False), (False, True, True, False), True, False)
LINEAR = Layers((1, 1), (True,), (False,), skip_after=True, slope_per_channel=False)
SMALL = Layers((5, 5, 3), (True, False), (True, True), skip_after=False, slope_per_channel=True)


def drawn(layers: Layers, members: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Input, parameters and gradient of the output.

    The first two in quarters: no sum is rounded, and no value falls on the other side of a PReLU's kink.
    """
    generator = torch.Generator().manual_seed(members + frames)
    size = sum(math.prod(shape) for shape in layers.shapes())
    shapes = (members, layers.widths[0], frames), (members, size), (members, layers.widths[-1], frames)
    x, parameters, grad_y = (torch.randn(shape, generator=generator).to(DEVICE) for shape in shapes)
    return (4 * x).round() / 4, (1.2 * parameters).round() / 4, grad_y


def outcome(kernels, x: Tensor, parameters: Tensor, grad_y: Tensor) -> list[Tensor]:
    """Output, gradient of the input and gradients of the parameters."""
    y, kept = kernels.forward(x, parameters, keep=True)
    return [y, *kernels.backward(x, parameters, kept, grad_y, need_grad_x=True)]


def exact_outcome(layers: Layers, x: Tensor, parameters: Tensor, grad_y: Tensor) -> list[Tensor]:
    x, parameters = x.double().requires_grad_(), parameters.double().requires_grad_()
    y = _plain(layers, x, parameters)
    return [y.detach(), *torch.autograd.grad(y, [x, parameters], grad_y.double())]


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        near = {"rtol": 1e-5, "atol": 2e-6 * theirs.abs().max().item()}
        torch.testing.assert_close(ours, theirs, **near, check_dtype=False)


@pytest.mark.parametrize(
    ("layers", "members", "frames"),
    [(ENCODER, 2, 37), (DECODER, 1, 70), (AFTER, 3, 130), (ODD, 1, 37), (LINEAR, 2, 1), (SMALL, 1, 130)],
)
def test_values_and_gradients_are_those_of_the_plain_path_in_double_precision(layers, members, frames):
    case = drawn(layers, members, frames)
    assert_close(outcome(TritonKernel(layers), *case), exact_outcome(layers, *case))


def test_values_and_gradients_are_those_of_the_compiled_kernel_of_the_cpu():
    if (kernels := kernel(SMALL)) is None:
        pytest.skip("no C++ compiler that builds the kernel")
    case = drawn(SMALL, 2, 37)
    expected = outcome(kernels, *(tensor.cpu() for tensor in case))
    assert_close([tensor.cpu() for tensor in outcome(TritonKernel(SMALL), *case)], expected)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_member_that_diverged_stays_visible_and_the_others_are_as_if_alone(bad):
    x, parameters, grad_y = drawn(SMALL, 3, 37)
    parameters[1, 7] *= bad
    kernels = TritonKernel(SMALL)
    group = outcome(kernels, x, parameters, grad_y)
    assert not any(tensor[1].isfinite().all() for tensor in group)
    for member in (0, 2):
        alone = outcome(kernels, *(tensor[member : member + 1].clone() for tensor in (x, parameters, grad_y)))
        assert all(torch.equal(one[0], several[member]) for one, several in zip(alone, group, strict=True))


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_frame_that_is_not_finite_spoils_only_its_own_output(bad):
    x, parameters, grad_y = drawn(SMALL, 1, 37)
    expected = outcome(TritonKernel(SMALL), x, parameters, grad_y)
    x[0, 3, 17] = bad
    found = outcome(TritonKernel(SMALL), x, parameters, grad_y)
    assert torch.equal(found[0].isfinite(), _plain(SMALL, x, parameters).isfinite())
    assert not found[2].isfinite().all()
    for ours, before in zip(found[:2], expected[:2], strict=True):
        assert torch.equal(ours[..., :17], before[..., :17])
        assert torch.equal(ours[..., 18:], before[..., 18:])


def test_members_take_turns_with_fewer_signals():
    x, parameters, grad_y = drawn(SMALL, 4, 5)
    shared = outcome(TritonKernel(SMALL), x[:2].clone(), parameters, grad_y)
    repeated = outcome(TritonKernel(SMALL), x[:2].repeat(2, 1, 1), parameters, grad_y)
    assert all(map(torch.equal, shared, repeated))


def test_only_what_is_asked_for_is_kept_and_derived():
    x, parameters, grad_y = drawn(SMALL, 1, 5)
    kernels = TritonKernel(SMALL)
    expected = outcome(kernels, x, parameters, grad_y)
    y, kept = kernels.forward(x, parameters, keep=False)
    assert kept is None
    assert torch.equal(y, expected[0])
    kept = kernels.forward(x, parameters, keep=True)[1]
    grad_x, gradients = kernels.backward(x, parameters, kept, grad_y, need_grad_x=False)
    assert grad_x is None
    assert torch.equal(gradients, expected[2])


def test_tensors_of_the_cpu_and_wide_layers_are_left_alone():
    x, parameters, _ = drawn(SMALL, 1, 5)
    wide = Layers((65, 1), (False,), (False,), skip_after=False, slope_per_channel=False)
    assert triton_kernel(SMALL, x.cpu(), parameters.cpu()) is None
    assert triton_kernel(wide, x, parameters) is None


def test_where_triton_fails_one_warning_is_logged_and_pytorch_computes(monkeypatch, caplog):
    def missing():
        raise ImportError("no module named triton\nat all")

    monkeypatch.setattr(triton_batched_mlp, "_kernels", missing)
    monkeypatch.setattr(triton_launch, "_told", set())
    assert triton_batched_mlp._tried.__wrapped__(SMALL, torch.device(DEVICE)) is None
    assert triton_batched_mlp._tried.__wrapped__(LINEAR, torch.device(DEVICE)) is None
    (record,) = caplog.records
    message = record.getMessage()
    assert f"on {DEVICE} (no module named triton)" in message
    assert "several times longer" in message


@pytest.mark.gpu
@pytest.mark.parametrize("layers", [ENCODER, DECODER, AFTER])
def test_a_gpu_computes_many_members_as_the_plain_path_does_also_in_a_graph(monkeypatch, layers):
    case = drawn(layers, 50, 2000)
    kernels = triton_kernel(layers, *case)
    assert kernels is not None
    expected = outcome(kernels, *case)
    assert_close(expected, exact_outcome(layers, *case))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = outcome(kernels, *case)
    for _ in range(3):
        for tensor in found:
            tensor.fill_(torch.nan)
        graph.replay()
        assert all(map(torch.equal, found, expected))
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    assert triton_kernel(layers, *case) is None
