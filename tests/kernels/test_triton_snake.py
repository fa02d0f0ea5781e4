"""The kernels that a GPU trains Snake by; without one, Triton interprets them."""

import pytest
import torch
from snake_reference import gradients, published, second_derivative
from torch import nn

from qcodec import DacCodec, Identity
from qcodec.kernels.triton_snake import TritonSnake, triton_snake
from qcodec.layers import snake
from qcodec.layers.snake import Snake

kernels = pytest.importorskip("qcodec.kernels.triton_snake_kernels", reason="no Triton", exc_type=ImportError)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def draw(*shape, seed=0, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def alphas(channels):
    return 0.01 + 2 * torch.rand(1, channels, 1, generator=torch.Generator().manual_seed(1)).to(DEVICE)


@pytest.fixture
def by_triton(monkeypatch):
    """Let every Snake that trains use the kernels."""
    monkeypatch.setattr(snake, "snake_kernel", lambda x, alpha: None)
    monkeypatch.setattr(snake, "triton_snake", lambda x, alpha: TritonSnake(kernels))


def trained(x, alpha):
    return torch.func.functional_call(Snake(nn.Parameter(alpha)), {"alpha": alpha}, x)


@pytest.mark.usefixtures("by_triton")
@pytest.mark.parametrize("shape", [(2, 3, 1500), (3, 5, 7), (1, 3, 1), (2, 700, 2)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 100.0])
def test_value_and_gradient_are_as_exact_as_those_of_dac(shape, scale):
    x, grad, alpha = draw(*shape, scale=scale), draw(*shape, seed=1), alphas(shape[1])
    exact = gradients(published, x.double(), alpha.double(), grad.double())
    found, theirs = gradients(trained, x, alpha, grad), gradients(published, x, alpha, grad)
    for ours, stock, truth in zip(found, theirs, exact, strict=True):
        allowed = 2 * (stock - truth).abs().max() + 3e-7 * truth.abs().max()
        assert (ours - truth).abs().max() <= allowed


@pytest.mark.usefixtures("by_triton")
def test_in_mixed_precision_it_gives_what_the_next_layer_would_round():
    x, alpha, grad = draw(2, 3, 40).bfloat16(), alphas(3), draw(2, 3, 40, seed=1).bfloat16()
    with torch.autocast(DEVICE, torch.bfloat16):
        found = gradients(trained, x, alpha, grad)
    exact = gradients(published, x.double(), alpha.double(), grad.double())
    assert [value.dtype for value in found] == [torch.bfloat16, torch.bfloat16, torch.float32]
    for ours, truth in zip(found, exact, strict=True):
        torch.testing.assert_close(ours.double(), truth, rtol=2**-7, atol=1e-6)  # one rounding; the interpreter cuts
    assert trained(x, alpha).dtype == published(x, alpha).dtype == torch.float32  # without it, as dac


@pytest.mark.usefixtures("by_triton")
@pytest.mark.filterwarnings("ignore:invalid value encountered in sin:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cos:RuntimeWarning")
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 1e30])
def test_a_value_out_of_range_stays_visible_and_spoils_no_other(value):
    x = draw(1, 1, 10)
    x[0, 0, 4] = value
    y, gradient, _ = gradients(trained, x, alphas(1), torch.ones_like(x))
    expected = gradients(published, x, alphas(1), torch.ones_like(x))
    torch.testing.assert_close(y, expected[0], equal_nan=True)
    torch.testing.assert_close(gradient, expected[1], equal_nan=True)


@pytest.mark.usefixtures("by_triton")
@pytest.mark.parametrize("frozen", [False, True])
def test_a_second_derivative_is_that_of_dac(frozen):
    module, x = Snake(nn.Parameter(alphas(3), requires_grad=not frozen)), draw(2, 3, 20)
    torch.testing.assert_close(second_derivative(module, x), second_derivative(lambda y: published(y, module.alpha), x))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_codec_trains_alike_with_and_without_kernels(precision, request):
    def gradients_of_codec():
        torch.manual_seed(0)
        codec = DacCodec(Identity(), 4, (2,), decoder_dim=8).to(DEVICE)
        with torch.autocast(DEVICE, precision, enabled=precision != torch.float32):
            audio = codec(draw(2, 1, 40, scale=0.1)).audio
        audio.float().square().mean().backward()
        return {name: p.grad for name, p in codec.named_parameters()}

    without = gradients_of_codec()
    request.getfixturevalue("by_triton")
    for name, gradient in gradients_of_codec().items():
        near = {"rtol": 1e-3, "atol": 1e-6} if precision == torch.float32 else {"rtol": 0.1, "atol": 3e-4}
        torch.testing.assert_close(gradient, without[name], **near, msg=name)


def test_only_the_input_is_kept_for_the_backward_pass(by_triton):
    kept, x = [], draw(2, 3, 40).requires_grad_()
    module = Snake(nn.Parameter(alphas(3)))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        module(x)
    assert {t.data_ptr() for t in kept} == {x.data_ptr(), module.alpha.data_ptr()}


@pytest.mark.skipif(DEVICE == "cuda", reason="with a GPU they are for its tensors")
def test_the_kernels_leave_tensors_of_the_cpu_alone():
    assert triton_snake(draw(1, 2, 3), alphas(2)) is None


@pytest.mark.gpu
def test_a_gpu_takes_the_kernels_and_a_missing_compiler_is_told(monkeypatch, caplog):
    from qcodec.kernels import triton_snake as module

    assert triton_snake(draw(1, 2, 3), alphas(2)) is not None
    monkeypatch.setattr(TritonSnake, "forward", lambda *args: 1 / 0)
    module._loaded.cache_clear()
    assert triton_snake(draw(1, 2, 3), alphas(2)) is None
    module._loaded.cache_clear()
    assert "Triton runs no kernels on cuda:0 (division by zero)" in caplog.text
