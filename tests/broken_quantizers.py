"""A quantizer that keeps every promise, and others that break one each. ``test_check.py`` asks them."""

import torch
from torch import nn

from qcodec import STE, Estimator, Quantizer, QuantizerOutput, ReceptiveField, Selected

SHARED = torch.randn(4, generator=torch.Generator().manual_seed(0))


class Sound(Quantizer):
    """Four trained levels for each value."""

    def __init__(self, levels: int = 4):
        super().__init__()
        self.points, self.estimator = nn.Parameter(torch.randn(levels)), STE()

    def forward(self, z, *, features=None, level=None):
        codes = (z.unsqueeze(-1) - self.points.to(z.dtype)).abs().argmin(-1)
        points = self.decode(codes).to(z.dtype)
        return self.output(z, points, codes)

    def output(self, z, points, codes):
        bits = z.new_full((len(z), z.shape[2]), 2.0 * z.shape[1])
        loss = (z.detach() - points).square().mean((1, 2))
        return QuantizerOutput(self.estimator(z, points), codes, bits, {"codebook": loss}, points.detach())

    def decode(self, codes):
        return self.points[codes]

    def code_sizes(self, channels):
        return (len(self.points),) * channels

    @property
    def exact(self):
        return True

    @property
    def receptive_field(self):
        return ReceptiveField()


class DetachedCodebook(Sound):
    def decode(self, codes):
        return self.points.detach()[codes]


class CodesOutOfRange(Sound):
    def code_sizes(self, channels):
        return (3,) * channels


class RoundedForward(Sound):
    exact = False

    def output(self, z, points, codes):
        found = super().output(z, points, codes)
        z_hat = z + (points - z).detach() if self.training else points
        return QuantizerOutput(z_hat, found.codes, found.bits, found.losses, found.z_q)


class DrawsInEvaluation(Sound):
    def forward(self, z, *, features=None, level=None):
        return super().forward(z + 0.3 * torch.randn(z.shape))


class SharedBuffer(Sound):
    def __init__(self, levels: int = 4):
        super().__init__(levels)
        self.register_buffer("offset", SHARED)


class WrongBits(Sound):
    def output(self, z, points, codes):
        found = super().output(z, points, codes)
        return QuantizerOutput(found.z_hat, codes, found.bits / 2, found.losses, found.z_q)


class NoGradientAtAll(Sound):
    def output(self, z, points, codes):
        found = super().output(z, points, codes)
        return QuantizerOutput(0 * z + points.detach(), codes, found.bits, found.losses, found.z_q)


class HiddenState(Sound):
    def __init__(self, levels: int = 4):
        super().__init__(levels)
        self.scale = torch.rand(()) + 0.5

    def decode(self, codes):
        return self.scale * super().decode(codes)


class OwnStatistics(Sound):
    """Remembers the mean of its rank's frames: another on each rank."""

    def __init__(self, levels: int = 4):
        super().__init__(levels)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, z, *, features=None, level=None):
        if self.training:
            self.mean.lerp_(z.detach().mean().float(), 0.5)
        return super().forward(z)


class NeedsAnArgument(Sound):
    def __init__(self, levels: int):
        super().__init__(levels)


class FiveChannels(Sound):
    def forward(self, z, *, features=None, level=None):
        if z.shape[1] != 5:
            raise ValueError("it takes 5 channels")
        return super().forward(z)


class Infinite(Estimator):
    """Its gradient is not finite on a level."""

    def select(self, z, codebook):
        codes, z_q = codebook.quantize(z)
        error = (z - z_q.detach()).square().sqrt()
        return Selected(codes, z_q, z_q.detach() + (error - error.detach()) if self.training else z_q.detach())
