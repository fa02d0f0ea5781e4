"""What a stranger writes: one of everything, of which qcodec knows nothing. ``test_stranger.py`` uses it by recipes."""

import math

import torch
from lightning import LightningDataModule
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

from qcodec import (
    Allocation,
    AudioCodec,
    Codebook,
    Embedding,
    Estimator,
    GradientEstimator,
    Quantizer,
    QuantizerOutput,
    RateAllocator,
    ReceptiveField,
    Selected,
)
from qcodec.callbacks.figures import ProbeFigure
from qcodec.data.source import SyntheticSource
from qcodec.metrics.base import CodecMetric
from qcodec.runs.schema import Metric


class HalfGradient(GradientEstimator):
    """Passes half of the gradient to the embedding and half to the codebook."""

    def estimate(self, z, z_q):
        return z_q.detach() + (z - z.detach()) / 2 + (z_q - z_q.detach()) / 2


class Softmax(Estimator):
    """Shows the decoder the mean of all points by their softmax."""

    def select(self, z, codebook):
        codes, z_q = codebook.quantize(z)
        if not self.training:
            return Selected(codes, z_q, z_q.detach())
        return Selected(codes, z_q, codebook.mix((4 * codebook.logits(z)).softmax(-1)).to(z.dtype))


class Circle(Codebook):
    """Points on a circle that only its radius moves."""

    def __init__(self, size: int = 16):
        super().__init__()
        self.size, self.dim = size, 2
        self.weight = nn.Parameter(torch.rand(()) + 0.5)

    def vectors(self):
        angle = 2 * math.pi * torch.arange(self.size, device=self.weight.device) / self.size
        return self.weight * torch.stack([angle.cos(), angle.sin()], 1)


class Thirds(Quantizer):
    """Rounds to thirds between -1 and 1, with a scale that lies in a buffer and is drawn."""

    def __init__(self, steps: int = 3):
        super().__init__()
        self.steps = steps
        self.register_buffer("scale", torch.rand(()) + 0.5)

    def forward(self, z, *, features=None, level=None):
        if level is not None:
            raise ValueError(f"Thirds has one rate only, so level={level} has no meaning")
        codes = ((z.detach() / self.scale).clamp(-1, 1) * self.steps).round().long() + self.steps
        z_q = self.decode(codes).to(z.dtype)
        bits = z.new_full((len(z), z.shape[2]), z.shape[1] * math.log2(2 * self.steps + 1))
        loss = {"distance": (z - z_q).square().mean((1, 2))}
        return QuantizerOutput(z + (z_q - z).detach() if self.training else z_q, codes, bits, loss, z_q)

    def decode(self, codes):
        return (codes - self.steps) / self.steps * self.scale

    def code_sizes(self, channels):
        return (2 * self.steps + 1,) * channels


class Loud(RateAllocator):
    """Sends every stage of loud frames and ``level`` stages of the others."""

    def forward(self, z, stages, *, features=None, level=None):
        loud = features.square().mean(1) > features.square().mean()
        depth = torch.where(loud, stages, int(level or 1))
        mask = (torch.arange(stages, device=z.device)[:, None] < depth[:, None]).to(z.dtype)
        return Allocation(mask, stages, side_bits=math.log2(stages))

    def levels(self, stages, count):
        return tuple(float(level) for level in range(1, stages + 1))


class Recurrent(AudioCodec):
    """A codec whose encoder remembers all that came before."""

    def __init__(self, quantizer: Quantizer, width: int = 8, sample_rate: int = 16000):
        super().__init__()
        self.quantizer, self.sample_rate, self.width = quantizer, sample_rate, width
        self.lstm = nn.LSTM(self.hop_length, width, batch_first=True)
        self.back = nn.Linear(width, self.hop_length)

    @property
    def hop_length(self):
        return 40

    @property
    def channels(self):
        return self.width

    def embed(self, x: Tensor) -> Embedding:
        padded = nn.functional.pad(x, (0, -x.shape[-1] % self.hop_length))
        z = self.lstm(padded.view(len(x), -1, self.hop_length))[0].transpose(1, 2)
        return Embedding(z, z)

    def synthesize(self, z_hat: Tensor) -> Tensor:
        return self.back(z_hat.transpose(1, 2)).flatten(1)[:, None]

    @property
    def decoder_field(self):
        return ReceptiveField()


class Beeps(LightningDataModule):
    """A data set of beeps."""

    def __init__(self, clips: int = 16):
        super().__init__()
        self.clips = clips

    def _loader(self, clips):
        time = torch.arange(4000) / 16000
        beeps = [0.3 * torch.sin(2 * math.pi * (300 + 50 * clip) * time)[None] for clip in range(clips)]
        return DataLoader(beeps, batch_size=2)

    def train_dataloader(self):
        return self._loader(self.clips)

    def val_dataloader(self):
        return self._loader(2)


class Signs(SyntheticSource):
    """One bit a value."""

    def __init__(self, features: int = 30, frames: int = 100):
        self.features, self.frames = features, frames

    def draw(self, streams):
        return streams.uniform((streams.entries, self.features, self.frames)).sub(0.5).sign()

    def entropy_bits(self):
        return float(self.features)

    def rate_distortion(self):
        distortion = torch.linspace(1.0, 0.0, 11, dtype=torch.float64)
        return torch.linspace(0.0, float(self.features), 11, dtype=torch.float64), distortion

    def references(self):
        return {"all zero": 1.0}


class Peak(CodecMetric):
    """The highest sample."""

    descriptions = (Metric("peak_of_stranger", "Peak of the decoded audio", "peak", better="lower"),)

    def __init__(self):
        super().__init__()
        self.mean = MeanMetric()

    def update(self, output, audio):
        self.mean.update(output.audio.abs().amax(-1))

    def compute(self):
        return self.mean.compute()


class Waves(ProbeFigure):
    """The decoded waves."""

    def draw(self, codec, audio):
        figure = Figure(figsize=(3, 2))
        figure.add_subplot().plot(codec(audio).audio[0, 0, :200].cpu().numpy())
        return {"waves": figure}
