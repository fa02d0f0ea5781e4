"""The soft step of variable bitrate, and the mask that carries its gradient."""

import math

import pytest
import torch

from qcodec.functional import leading_mask, soft_step

SHARPNESS = [0.5, 1.0, 2.0, 4.0, 20.0]


def slope(x, a):
    return (torch.tanh(a * (x + 0.5)) - torch.tanh(a * (x - 0.5))) / 2


def derivative(x, a):
    x = x.detach().requires_grad_()
    (grad,) = torch.autograd.grad(soft_step(x, a).double().sum(), x)
    return grad


@pytest.mark.parametrize("a", SHARPNESS)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_it_is_the_closed_form_with_its_gradient(a, dtype, atol):
    x = torch.linspace(-8, 8, 641, dtype=torch.float64).to(dtype)  # holds 0 and both corners, -1/2 and 1/2
    wide = x.double()
    expected = ((a * (wide + 0.5)).cosh() / (a * (wide - 0.5)).cosh()).log() / (2 * a) + 0.5
    found = soft_step(x, a)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=max(atol, 1e-13))
    torch.testing.assert_close(derivative(x, a).double(), slope(wide, a), rtol=0, atol=max(atol, 1e-13))


@pytest.mark.parametrize("a", SHARPNESS)
@pytest.mark.parametrize("stages", [1, 3, 8])
def test_the_slopes_of_all_stages_telescope(a, stages):
    s = torch.linspace(0, 2.0 * stages, 301, dtype=torch.float64).requires_grad_()
    total = sum(soft_step(s - k, a) for k in range(stages))
    (grad,) = torch.autograd.grad(total.sum(), s)
    s = s.detach()
    expected = (torch.tanh(a * (s + 0.5)) - torch.tanh(a * (s - stages + 0.5))) / 2
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("a", [0.01, *SHARPNESS, 1e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_it_rises_from_zero_to_one_with_finite_gradients_for_every_number(a, dtype):
    most = torch.finfo(dtype).max
    x = torch.tensor([-torch.inf, -most, -1e4, -50.0, -0.5, 0.0, 0.5, 50.0, 1e4, most, torch.inf], dtype=dtype)
    value, grad = soft_step(x, a), derivative(x, a)
    assert (value.diff() >= 0).all()
    assert value[[0, -1]].tolist() == [0, 1]
    assert value[5].item() == pytest.approx(0.5, abs=1e-5)
    assert grad.isfinite().all()
    assert (grad >= 0).all()
    torch.testing.assert_close(grad, grad.flip(0))


def test_it_is_symmetric_and_its_tail_keeps_its_relative_accuracy():
    x = torch.tensor([3.0, 7.0, 10.0])
    tail = soft_step(-x, 2.0).double()
    torch.testing.assert_close(soft_step(x, 2.0), 1 - tail.float(), rtol=0, atol=0)
    expected = [math.log1p(math.exp(2.0 * (1 - 2 * v))) - math.log1p(math.exp(-2.0 * (1 + 2 * v))) for v in x.tolist()]
    torch.testing.assert_close(tail, torch.tensor(expected).double() / 4, rtol=1e-5, atol=0)


def test_gradients_of_first_and_second_order_are_those_of_finite_differences():
    x = torch.tensor([-2.0, -0.5, -0.1, 0.1, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_step(x, 2.0), x)
    assert torch.autograd.gradgradcheck(lambda x: soft_step(x, 2.0), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mask_is_exactly_zero_or_one_and_as_deep_as_stated(dtype):
    depth = torch.tensor([[0.0, 0.3, 0.999, 1.0, 1.5, 2.0, 3.99, 4.0, 100.0, torch.inf]]).to(dtype)
    mask = leading_mask(depth, 4, sharpness=0.7)
    assert mask.dtype == dtype
    assert ((mask == 0) | (mask == 1)).all()
    expected = (depth.float().clamp_max(9).floor() + 1).clamp_max(4)
    assert torch.equal(mask.float().sum(1), expected)
    assert (mask.diff(dim=1) <= 0).all(), "the stages that are sent lead"


def test_the_masks_gradient_is_that_of_the_soft_steps_also_where_nothing_is_sent():
    depth = torch.tensor([[0.0, 0.3, 1.0, 2.5, 7.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    (leading_mask(depth, 3, sharpness=2.0) * weights[None, :, None]).sum().backward()
    expected = sum(w * slope(depth.detach() - k, 2.0) for k, w in enumerate(weights))
    torch.testing.assert_close(depth.grad, expected, rtol=0, atol=1e-13)


def test_a_frame_that_is_not_a_number_gets_every_stage():
    assert leading_mask(torch.tensor([[torch.nan]]), 4, 2.0).sum() == 4
