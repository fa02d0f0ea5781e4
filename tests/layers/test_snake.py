import dac
import pytest
import torch
from snake_reference import gradients, published, second_derivative
from torch import nn

from qcodec import DacCodec, residual_vq
from qcodec.kernels.snake import snake_kernel
from qcodec.layers.snake import Snake


def draw(*shape, seed=0, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(channels=3):
    torch.manual_seed(0)
    return Snake(nn.Parameter(0.01 + 2 * torch.rand(1, channels, 1)))


@pytest.fixture
def compiled(monkeypatch):
    monkeypatch.delenv("QCODEC_KERNELS", raising=False)
    if snake_kernel(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)) is None:
        pytest.skip("no C++ compiler that builds the kernel")


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("shape", [(2, 3, 1500), (1, 3, 1), (4, 3, 19), (2, 3, 40000)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 100.0, 1e5])
def test_value_and_gradient_are_as_exact_as_those_of_dac(shape, scale):
    x, grad, alpha = draw(*shape, scale=scale), draw(*shape, seed=1), layer().alpha.detach()
    exact = gradients(published, x.double(), alpha.double(), grad.double())
    module = Snake(nn.Parameter(alpha))
    found = gradients(lambda x, alpha: torch.func.functional_call(module, {"alpha": alpha}, x), x, alpha, grad)
    theirs = gradients(published, x, alpha, grad)
    for ours, stock, truth in zip(found, theirs, exact, strict=True):
        allowed = 2 * (stock - truth).abs().max() + 3e-7 * truth.abs().max()
        assert (ours - truth).abs().max() <= allowed


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 1e30])
def test_a_value_out_of_range_stays_visible_and_spoils_no_other(value):
    x = draw(1, 1, 10)
    x[0, 0, 4] = value
    y, gradient, _ = gradients(
        lambda x, alpha: Snake(nn.Parameter(alpha))(x), x, torch.ones(1, 1, 1), torch.ones_like(x)
    )
    expected = gradients(published, x, torch.ones(1, 1, 1), torch.ones_like(x))
    torch.testing.assert_close(y, expected[0], equal_nan=True)
    torch.testing.assert_close(gradient, expected[1], equal_nan=True)


@pytest.mark.usefixtures("compiled")
def test_threads_do_not_change_the_result():
    x, grad, alpha = draw(8, 3, 9000), draw(8, 3, 9000, seed=1), layer().alpha.detach()
    loaded = snake_kernel(x, alpha)

    def results():
        return [loaded.forward(x, alpha), *loaded.backward(x, alpha, grad)]

    single = results()
    try:
        torch.set_num_threads(2)
        assert all(torch.equal(ours, alone) for ours, alone in zip(results(), single, strict=True))
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_second_derivative_and_a_frozen_alpha_are_those_of_dac(monkeypatch, switch):
    monkeypatch.setenv("QCODEC_KERNELS", switch)
    module, x = layer(), draw(2, 3, 20)
    torch.testing.assert_close(second_derivative(module, x), second_derivative(lambda y: published(y, module.alpha), x))
    module.alpha.requires_grad_(False)
    torch.testing.assert_close(second_derivative(module, x), second_derivative(lambda y: published(y, module.alpha), x))


def test_in_evaluation_and_in_other_types_it_gives_the_very_values_of_dac():
    module, x = layer(), draw(2, 3, 50)
    with torch.inference_mode():
        assert torch.equal(module.eval()(x), dac.nn.layers.snake(x, module.alpha))
    assert torch.equal(module.eval()(x), published(x, module.alpha))
    assert torch.equal(module.train().double()(x.double()), published(x.double(), module.alpha))
    strided = draw(2, 50, 3).double().transpose(1, 2)
    assert torch.equal(module(strided), published(strided, module.alpha))


def test_a_codec_trains_alike_with_and_without_compiled_functions(monkeypatch):
    def trained(switch):
        monkeypatch.setenv("QCODEC_KERNELS", switch)
        torch.manual_seed(0)
        codec = DacCodec(residual_vq(16, 2, 32, 4), 4, (2, 4), decoder_dim=8)
        output = codec(draw(2, 1, 160, scale=0.1))
        (output.audio.square().mean() + output.quantized.losses["commitment"].mean()).backward()
        return {name: p.grad for name, p in codec.named_parameters() if p.grad is not None}

    with_kernel, without = trained("1"), trained("0")
    assert any("alpha" in name for name in with_kernel)
    for name, gradient in with_kernel.items():
        torch.testing.assert_close(gradient, without[name], rtol=1e-3, atol=1e-6, msg=name)
