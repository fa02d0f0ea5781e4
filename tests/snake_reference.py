"""What every way to compute the Snake activation is held against."""

import torch


def published(x, alpha):
    """Compute what dac's scripted function does, without its compiler, which fails in inference mode once trained."""
    return x + (alpha + 1e-9).reciprocal() * torch.sin(alpha * x).pow(2)


def gradients(function, x, alpha, grad):
    x, alpha = x.clone().requires_grad_(), alpha.detach().clone().requires_grad_()
    y = function(x, alpha)
    y.backward(grad)
    return y.detach(), x.grad, alpha.grad


def second_derivative(function, x):
    """Differentiate a penalty on the function's slope."""
    y = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(y).sum(), y, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), y)
    return second
