"""The Snake activation, in one pass over the values where it trains."""

from typing import Any, final

import torch
from torch import Tensor, nn

from qcodec.kernels.autograd import apply_function
from qcodec.kernels.snake import SnakeKernel, snake_kernel
from qcodec.kernels.triton_snake import TritonSnake, triton_snake


def _plain(x: Tensor, alpha: Tensor) -> Tensor:
    return x + (alpha + 1e-9).reciprocal() * torch.sin(alpha * x).pow(2)


class _Snake(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: SnakeKernel | TritonSnake, x: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(x, alpha)
        ctx.kernels = kernels
        return kernels.forward(x, alpha)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, alpha = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted, which the kernel does not have
            needed = ctx.needs_input_grad[1:]
            wanted = [tensor for tensor, need in zip((x, alpha), needed, strict=True) if need]
            y = _plain(x, alpha).to(grads[0].dtype)
            found = iter(torch.autograd.grad(y, wanted, grads[0], create_graph=True))
            return None, *(next(found) if need else None for need in needed)
        return None, *ctx.kernels.backward(x, alpha, grads[0].contiguous())


@final
class Snake(nn.Module):
    """Snake activation ``x + sin(alpha x)^2 / (alpha + 1e-9)`` with one ``alpha`` per channel (arXiv 2006.08195).

    In evaluation it returns the very values of ``dac``; in training the same up to rounding, in less time and memory:
    only ``x`` is kept for the backward pass. Under automatic mixed precision a GPU trains with values in the
    type of ``x``, where ``dac`` has float32 that its next layer rounds. ``torch.compile`` sees the formula, which it
    merges with what lies around it.

    Args:
        alpha: ``(1, C, 1)``.

    Example:
        >>> Snake(nn.Parameter(torch.ones(1, 2, 1)))(torch.zeros(1, 2, 3))[0, 0].tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, alpha: nn.Parameter) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to ``(B, C, T)``."""
        compiled = self.training and not torch.compiler.is_compiling()
        if compiled and (kernels := snake_kernel(x, self.alpha) or triton_snake(x, self.alpha)):
            return apply_function(_Snake, kernels, x, self.alpha)
        return _plain(x, self.alpha)
