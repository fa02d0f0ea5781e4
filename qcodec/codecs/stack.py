"""A stack of fully connected layers with PReLU and skip connections, several independent stacks side by side."""

import itertools
import math
import os
from collections.abc import Sequence
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qcodec.codecs.native import Kernel, Layers, kernel


@final
class FullyConnectedStack(nn.Module):
    """Fully connected layers that map frame by frame, for several members with weights of their own.

    Layer ``l`` computes ``u = W h + b`` and the PReLU of ``u``, where it has one; a skip connection adds ``h`` before
    or after the PReLU. In float32 on the CPU a compiled kernel computes it, where a C++ compiler is found; setting the
    environment variable ``QCODEC_NATIVE=0`` prevents that. The kernel's results for a member depend neither on the
    other members nor on the number of threads.

    Args:
        members: Number of stacks side by side.
        widths: Features before the first layer and after each layer.
        skip: Whether each layer has a skip connection; its two widths must then be equal.
        activation: Whether a PReLU follows each layer.
        skip_position: Whether a skip connection is added ``before`` the PReLU or ``after``.
        slope: Whether a PReLU's slope is ``shared`` by the features or one per ``channel``.
        generators: One generator per member, drawn from as ``torch.nn.Linear`` draws, layer by layer.

    Example:
        >>> stack = FullyConnectedStack(
        ...     2, (4, 4, 3), skip=(True, False), activation=(True, False), skip_position="before", slope="shared",
        ...     generators=[torch.Generator().manual_seed(seed) for seed in (0, 1)],
        ... )
        >>> stack(torch.randn(2, 4, 10)).shape
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
        self.weights, self.biases, self.slopes = nn.ParameterList(), nn.ParameterList(), nn.ParameterDict()
        device = generators[0].device
        for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            self.weights.append(nn.Parameter(torch.empty(members, n_out, n_in, device=device)))
            self.biases.append(nn.Parameter(torch.empty(members, n_out, device=device)))
            if activation[layer]:
                columns = n_out if slope == "channel" else 1
                self.slopes[str(layer)] = nn.Parameter(torch.full((members, columns), 0.25, device=device))
        for member, generator in enumerate(generators):
            for weight, bias in zip(self.weights, self.biases, strict=True):
                nn.init.kaiming_uniform_(weight[member], a=math.sqrt(5), generator=generator)
                bound = 1 / math.sqrt(weight.shape[-1])
                nn.init.uniform_(bias[member], -bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map signals ``(members, widths[0], T)`` to ``(members, widths[-1], T)``."""
        if x.dim() != 3 or x.shape[:2] != (self.members, self.layers.widths[0]):
            expected = f"({self.members}, {self.layers.widths[0]}, T)"
            raise ValueError(f"the stack maps a signal of shape {expected}, not {tuple(x.shape)}")
        parameters = self._ordered_parameters()
        native = kernel(self.layers) if _suits_kernel(x, parameters) else None
        if native is None:
            return _plain(self.layers, x, parameters)
        x, parameters = _contiguous(x, parameters)
        if torch.is_grad_enabled() and any(p is not None and p.requires_grad for p in (x, *parameters)):
            y: Tensor = _NativeStack.apply(native, x, *parameters)  # type: ignore[no-untyped-call]  # not annotated by torch
            return y
        return native.forward(x, parameters, keep=False)[0]

    def _ordered_parameters(self) -> list[Tensor | None]:
        weights, biases, slopes = self.weights, self.biases, self.slopes  # each look-up in a module is slow
        ordered: list[Tensor | None] = []
        for layer, active in enumerate(self.layers.activation):
            ordered += [weights[layer], biases[layer], slopes[str(layer)] if active else None]
        return ordered


def _plain(layers: Layers, h: Tensor, parameters: Sequence[Tensor | None]) -> Tensor:
    for layer, skip in enumerate(layers.skip):
        weight, bias, slope = parameters[3 * layer : 3 * layer + 3]
        assert weight is not None
        assert bias is not None
        u = torch.baddbmm(bias[:, :, None], weight, h)
        if skip and not layers.skip_after:
            u = u + h
        if slope is not None:  # members and features are the channels of one PReLU
            u = F.prelu(u.flatten(0, 1)[None], slope.expand(u.shape[:2]).flatten()).view(u.shape)
        h = u + h if skip and layers.skip_after else u
    return h


class _NativeStack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, native: Kernel, x: Tensor, *parameters: Tensor | None) -> Tensor:
        y, kept = native.forward(x, parameters, keep=True)
        ctx.native = native
        ctx.save_for_backward(x, kept, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *parameters = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted, which the kernel does not have
            needed = [p if need else None for p, need in zip((x, *parameters), ctx.needs_input_grad[1:], strict=True)]
            wanted = [p for p in needed if p is not None]
            y = _plain(ctx.native.layers, x, parameters)
            found = iter(torch.autograd.grad(y, wanted, grad_y, create_graph=True))
            return None, *(None if p is None else next(found) for p in needed)
        need_x = ctx.needs_input_grad[1]
        grad_x, gradients = ctx.native.backward(x, parameters, kept, grad_y.contiguous(), need_grad_x=need_x)
        return None, grad_x, *gradients


def _contiguous(x: Tensor, parameters: Sequence[Tensor | None]) -> tuple[Tensor, list[Tensor | None]]:
    return x.contiguous(), [None if p is None else p.contiguous() for p in parameters]


def _suits_kernel(x: Tensor, parameters: Sequence[Tensor | None]) -> bool:
    if torch.compiler.is_compiling() or os.environ.get("QCODEC_NATIVE") == "0":
        return False
    if torch.is_autocast_enabled("cpu") or type(x) not in (Tensor, nn.Parameter) or x.numel() == 0:
        return False
    return all(p is None or (p.dtype == torch.float32 and p.device.type == "cpu") for p in (x, *parameters))
