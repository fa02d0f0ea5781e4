"""Autograd functions of ``qcodec.functional``, by kernels where these take the tensors."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qcodec.kernels.elementwise import Elementwise, elementwise, rows_apart


def apply_function(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """Call an autograd function of one output."""
    output: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]  # torch ships `apply` without annotations
    return output


@final
class MeanSquaredError(torch.autograd.Function):
    """Mean squared error per sample; sample ``b`` is compared with target ``b % len(target)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor) -> Tensor:
        """Return the mean over ``(D, T)``: ``(B,)``."""
        ctx.save_for_backward(x, target)
        if (rows := rows_apart(x, (1, 2))) and (kernels := elementwise(x)) and elementwise(target):
            return kernels.mean_square(x, target, rows)
        norm: Tensor = torch.linalg.vector_norm(_differences(x, target), dim=(1, 2))
        return norm.square_() / x[0].numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of ``x``."""
        x, target = ctx.saved_tensors
        if rows_apart(x, (1, 2)) and (kernels := elementwise(x)) and elementwise(target):
            return kernels.mean_square_gradient(x, target, grad.contiguous()), None
        return _differences(x, target) * (grad * (2 / x[0].numel()))[:, None, None], None


def _differences(x: Tensor, target: Tensor) -> Tensor:
    return (x.view(-1, *target.shape) - target).view(x.shape)


@final
class StraightThrough(torch.autograd.Function):
    """The quantized value, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor) -> Tensor:
        """Return ``z_q``."""
        return z_q.view_as(z_q)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Pass the gradient to ``z``."""
        return grads[0], None


@final
class ModifiedStraightThrough(torch.autograd.Function):
    """The quantized value, with the gradient of mSTE."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor, dims: tuple[int, ...], centred: bool) -> Tensor:
        """Return ``z_q``."""
        ctx.save_for_backward(z, z_q)
        ctx.dims, ctx.centred = dims, centred
        return z_q.view_as(z_q)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """Return the gradients of ``z`` and, where it takes one, of ``z_q``: what that of ``z`` lacks."""
        gradient = ModifiedStraightThrough._gradient(ctx, grad)
        return gradient, grad - gradient if ctx.needs_input_grad[1] else None, None, None

    @staticmethod
    def _gradient(ctx: Any, grad: Tensor) -> Tensor:
        z, z_q = ctx.saved_tensors
        if (rows := rows_apart(z, ctx.dims)) and (kernels := elementwise(z, z_q, grad)):
            return kernels.modified_gradient(z, z_q, grad, ctx.centred, rows)
        wide = torch.promote_types(z.dtype, torch.float32)
        error = (z_q - z) if z.dtype == wide else z_q.to(wide) - z.to(wide)
        g = grad.to(wide)
        inner = (g * error).sum(ctx.dims, keepdim=True)
        mean = error.mean(ctx.dims, keepdim=True) if ctx.centred else error.new_zeros(())
        if ctx.centred:
            error = error - mean
        power = torch.linalg.vector_norm(error, dim=ctx.dims, keepdim=True).square_()
        total = power + mean.square() * (error.numel() / power.numel())
        ratio = (inner / power).masked_fill_(power <= torch.finfo(wide).eps * total, 0.0)
        return torch.addcmul(g, error, ratio, value=-1).to(z.dtype)


def add_noise(z: Tensor, noise: Tensor, gain: Tensor, dims: Sequence[int]) -> Tensor:
    """Add noise in proportion to the deviation over ``dims``."""
    return z + gain * z.std(tuple(dims), keepdim=True) * noise


@final
class NoiseApproximation(torch.autograd.Function):
    """Added noise in proportion to the deviation of each row, by kernels."""

    @staticmethod
    def forward(
        ctx: Any, kernels: Elementwise, z: Tensor, noise: Tensor, gain: Tensor, dims: tuple[int, ...]
    ) -> Tensor:
        """Return ``z + gain * std(z) * noise``."""
        noisy, statistics = kernels.noisy(z, noise, gain)
        ctx.save_for_backward(z, noise, gain, statistics)
        ctx.kernels, ctx.dims = kernels, dims
        return noisy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of ``z``."""
        z, noise, gain, statistics = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted, which the kernel does not have
            noisy = add_noise(z, noise, gain, ctx.dims)
            return None, *torch.autograd.grad(noisy, z, grads[0], create_graph=True), None, None, None
        return None, ctx.kernels.noisy_gradient(z, noise, gain, statistics, grads[0].contiguous()), None, None, None
