"""Fully connected layers with PReLU and skip connections, several independent MLPs side by side."""

import math
from collections.abc import Sequence
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qcodec.kernels.autograd import apply_function
from qcodec.kernels.batched_mlp import Kernel, Layers, kernel
from qcodec.kernels.build import suits
from qcodec.kernels.triton_batched_mlp import TritonKernel, triton_kernel


@final
class BatchedMLP(nn.Module):
    """Fully connected layers that map frame by frame, for several members with weights of their own.

    Layer ``l`` computes ``u = W h + b`` and the PReLU of ``u``, where it has one; a skip connection adds ``h`` before
    or after the PReLU. In float32 a compiled kernel computes it, on the CPU where a C++ compiler is found, on a GPU
    where Triton is; setting the environment variable ``QCODEC_KERNELS=0`` prevents that. The kernel's results for a
    member depend neither on the other members nor on the number of threads. All parameters of a member lie side by
    side in ``flat``, so that the optimizer updates one tensor; ``weights``, ``biases`` and ``slopes`` are
    views of it.

    Args:
        members: Number of MLPs side by side.
        widths: Features before the first layer and after each layer.
        skip: Whether each layer has a skip connection; its two widths must then be equal.
        activation: Whether a PReLU follows each layer.
        skip_position: Whether a skip connection is added ``before`` the PReLU or ``after``.
        slope: Whether a PReLU's slope is ``shared`` by the features or one per ``channel``.
        generators: One generator per member, drawn from as ``torch.nn.Linear`` draws, layer by layer.

    Example:
        >>> mlp = BatchedMLP(
        ...     2, (4, 4, 3), skip=(True, False), activation=(True, False), skip_position="before", slope="shared",
        ...     generators=[torch.Generator().manual_seed(seed) for seed in (0, 1)],
        ... )
        >>> mlp(torch.randn(2, 4, 10)).shape
        torch.Size([2, 3, 10])
    """

    def __init__(
        self,
        members: int,
        widths: Sequence[int],
        *,
        skip: Sequence[bool],
        activation: Sequence[bool],
        skip_position: Literal["before", "after"],
        slope: Literal["shared", "channel"],
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        count = len(widths) - 1
        if count < 1 or len(skip) != count or len(activation) != count:
            raise ValueError(f"{len(widths)} widths need {count} entries in skip={skip} and activation={activation}")
        if skip_position not in ("before", "after") or slope not in ("shared", "channel"):
            raise ValueError(f"skip_position={skip_position!r} and slope={slope!r} are not among the choices")
        if members < 1 or min(widths) < 1 or len(generators) != members:
            raise ValueError(f"members={members} and widths={widths} must be 1 or more, with one generator per member")
        for layer in range(count):
            if skip[layer] and widths[layer] != widths[layer + 1]:
                raise ValueError(f"a skip connection cannot go from {widths[layer]} to {widths[layer + 1]} features")
        self.members = members
        self.layers = Layers(
            tuple(widths), tuple(skip), tuple(activation), skip_position == "after", slope == "channel"
        )
        size = sum(math.prod(shape) for shape in self.layers.shapes())
        self.flat = nn.Parameter(torch.full((members, size), 0.25, device=generators[0].device))
        self._draw(generators)

    @property
    def weights(self) -> list[Tensor]:
        """Weight of each layer, ``(members, widths[l + 1], widths[l])``, as a view."""
        return _views(self.layers, self.flat)[0::3]

    @property
    def biases(self) -> list[Tensor]:
        """Bias of each layer, ``(members, widths[l + 1])``, as a view."""
        return _views(self.layers, self.flat)[1::3]

    @property
    def slopes(self) -> list[Tensor]:
        """Slope of each layer's PReLU, ``(members, 1 or widths[l + 1])``, as a view; empty where there is none."""
        return _views(self.layers, self.flat)[2::3]

    @torch.no_grad()
    def _draw(self, generators: Sequence[torch.Generator]) -> None:
        weights, biases = self.weights, self.biases
        for member, generator in enumerate(generators):
            for weight, bias in zip(weights, biases, strict=True):
                bound = 1 / math.sqrt(weight.shape[-1])
                nn.init.kaiming_uniform_(weight[member], a=math.sqrt(5), generator=generator)
                nn.init.uniform_(bias[member], -bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map signals ``(members, widths[0], T)`` to ``(members, widths[-1], T)``."""
        if x.dim() != 3 or len(x) != self.members:
            raise ValueError(_mismatch(self.layers, self.members, x))
        return apply_batched_mlps([self], x)


def apply_batched_mlps(mlps: Sequence[BatchedMLP], x: Tensor) -> Tensor:
    """Map signals by several MLPs of equal layers in one call, as one MLP with the members of all.

    Args:
        mlps: MLPs, which may differ in their parameters and numbers of members only.
        x: ``(members, widths[0], T)``, the members of all MLPs one after the other, or ``(S, widths[0], T)`` with
            fewer signals, whose number divides that of the members: member ``m`` then maps signal ``m % S``.

    Returns:
        ``(members, widths[-1], T)``.

    Raises:
        ValueError: For MLPs of different layers, or a signal of another shape.
    """
    layers, members = mlps[0].layers, sum(mlp.members for mlp in mlps)
    if any(mlp.layers != layers for mlp in mlps):
        raise ValueError(f"MLPs share a call only if their layers are equal, not {[mlp.layers for mlp in mlps]}")
    if x.dim() != 3 or not len(x) or members % len(x) or x.shape[1] != layers.widths[0]:
        raise ValueError(_mismatch(layers, members, x))
    flat = mlps[0].flat if len(mlps) == 1 else torch.cat([mlp.flat for mlp in mlps])
    x, flat = x.contiguous(), flat.contiguous()
    fast = kernel(layers) if suits(x, flat) else triton_kernel(layers, x, flat)
    if fast is None or torch.is_autocast_enabled(x.device.type):
        return _plain(layers, x, flat)
    if torch.is_grad_enabled() and (x.requires_grad or flat.requires_grad):
        return apply_function(_KernelMLP, fast, x, flat)
    return fast.forward(x, flat, keep=False)[0]


def _mismatch(layers: Layers, members: int, x: Tensor) -> str:
    return f"the MLP maps a signal of shape ({members}, {layers.widths[0]}, T), not {tuple(x.shape)}"


def _views(layers: Layers, flat: Tensor) -> list[Tensor]:
    shapes = layers.shapes()
    parts = torch.split(flat, [math.prod(shape) for shape in shapes], dim=1)
    return [part.view(len(flat), *shape) for part, shape in zip(parts, shapes, strict=True)]


def _plain(layers: Layers, h: Tensor, flat: Tensor) -> Tensor:
    parameters = _views(layers, flat)
    if len(h) < len(flat):
        h = h.repeat(len(flat) // len(h), 1, 1)
    for layer, (skip, active) in enumerate(zip(layers.skip, layers.activation, strict=True)):
        weight, bias, slope = parameters[3 * layer : 3 * layer + 3]
        u = torch.baddbmm(bias[:, :, None], weight, h)
        if skip and not layers.skip_after:
            u = u + h
        if active:  # members and features are the channels of one PReLU
            u = F.prelu(u.flatten(0, 1)[None], slope.expand(u.shape[:2]).flatten()).view(u.shape)
        h = u + h if skip and layers.skip_after else u
    return h


class _KernelMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Kernel | TritonKernel, x: Tensor, flat: Tensor) -> Tensor:
        y, kept = kernel.forward(x, flat, keep=True)
        ctx.kernel = kernel
        ctx.save_for_backward(x, flat, kept)
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, flat, kept = ctx.saved_tensors
        _, need_x, need_flat = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a second derivative is wanted, which the kernel does not have
            wanted = [tensor for tensor, need in ((x, need_x), (flat, need_flat)) if need]
            found = iter(torch.autograd.grad(_plain(ctx.kernel.layers, x, flat), wanted, grad_y, create_graph=True))
            return None, next(found) if need_x else None, next(found) if need_flat else None
        grad_x, grad_flat = ctx.kernel.backward(x, flat, kept, grad_y.contiguous(), need_grad_x=need_x)
        if grad_x is not None and len(grad_x) > len(x):
            grad_x = grad_x.unflatten(0, (-1, len(x))).sum(0)
        return None, grad_x, grad_flat
