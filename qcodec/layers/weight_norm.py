"""A weight-normalised convolution, for quantizers and rate allocators."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightNormConv(nn.Module):
    """A weight-normalised convolution ``(B, in, T) -> (B, out, T)``, with the names and values of torch's own.

    The weight of output channel ``o`` is ``weight_g[o] * weight_v[o] / |weight_v[o]|`` (arXiv 1602.07868, eq. 2).
    Unlike ``torch.nn.utils.weight_norm`` it leaves no derived tensor in the module, so that it can be copied at any
    time. It starts as a convolution of torch does, but for a bias of zero, as in the Descript Audio Codec.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Frames that the kernel spans, odd; zeros are added at both ends.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.weight_g = nn.Parameter(torch.empty(out_channels, 1, 1))
        self.weight_v = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        nn.init.kaiming_uniform_(self.weight_v, a=math.sqrt(5))
        with torch.no_grad():
            self.weight_g.copy_(torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True))
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x``."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return F.conv1d(x, weight, self.bias, padding=self.weight_v.shape[2] // 2)


def full_precision(z: Tensor) -> torch.autocast:
    """Return a context in which automatic mixed precision is off for the device of ``z``."""
    return torch.autocast(z.device.type, enabled=False)
