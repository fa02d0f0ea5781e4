"""Short runs of a tiny audio codec on noise, for the tests."""

from copy import deepcopy

import torch
from lightning import LightningDataModule, Trainer
from torch import nn
from torchmetrics import MeanMetric

from qcodec import CodebookDropout, DacCodec, ModifiedSTE, residual_vq
from qcodec.losses.adversarial import Adversary
from qcodec.losses.weights import LossWeights
from qcodec.metrics.base import CodecMetric
from qcodec.runs.schema import Metric
from qcodec.tasks.audio import AudioTask

LOSSES = LossWeights(mel=15.0, codebook=1.0, commitment=0.25)


class Layers(nn.Module):
    """A discriminator of two convolutions."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(1, 4, 5), nn.Conv1d(4, 1, 5)])

    def forward(self, x):
        first = self.layers[0](x).relu()
        return [[first, self.layers[1](first)]]


class Peak(CodecMetric):
    """A metric that the package does not know."""

    descriptions = (Metric("peak", "Peak of the decoded audio", "peak", better="lower"),)

    def __init__(self):
        super().__init__()
        self.mean = MeanMetric()

    def update(self, output, audio):
        self.mean.update(output.audio.abs().amax(-1))

    def compute(self):
        return self.mean.compute()


def adversary(**settings):
    torch.manual_seed(1)
    return Adversary(Layers(), **settings)


def make_codec(estimator=None, allocator=None):
    torch.manual_seed(0)
    quantizer = residual_vq(
        dim=16, n_codebooks=3, codebook_size=32, codebook_dim=4,
        allocator=CodebookDropout(0.5) if allocator is None else allocator,
        estimator=ModifiedSTE() if estimator is None else estimator,
    )  # fmt: skip
    return DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)


def make_task(losses=LOSSES, codec=None, **settings):
    return AudioTask(make_codec() if codec is None else codec, losses, **settings)


def batch(number, clips=3, samples=1100):
    return 0.1 * torch.randn(clips, 1, samples, generator=torch.Generator().manual_seed(number))


class Batches:
    """An epoch of numbered batches, which goes on where the trainer stands."""

    def __init__(self, numbers, trainer=None, spoil=()):
        self.numbers, self.trainer, self.spoil = numbers, trainer, spoil

    def __len__(self):
        return len(self.numbers)

    def __iter__(self):
        progress = self.trainer.fit_loop.epoch_loop.batch_progress if self.trainer else None
        begin = progress.current.completed if progress else 0
        first = progress.total.completed - begin if progress else 0
        for number in self.numbers[begin:]:
            yield batch(first + number) * (torch.nan if first + number in self.spoil else 1)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Noise(LightningDataModule):
    """Training batches 0, 1, ... and two held-out ones."""

    def __init__(self, epoch=5, spoil=()):
        super().__init__()
        self.epoch, self.spoil = epoch, spoil

    def train_dataloader(self):
        return Batches(range(self.epoch), self.trainer, self.spoil)

    def val_dataloader(self):
        return Batches([1000, 1001])


def fit(task, updates=10, data=None, checkpoint=None, **settings):
    usual = {
        "max_steps": updates, "max_epochs": -1, "accelerator": "cpu", "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0, "log_every_n_steps": 4,
    }  # fmt: skip
    trainer = Trainer(**{**usual, **settings})
    trainer.fit(task, Noise() if data is None else data, ckpt_path=checkpoint)
    return trainer


def weights(task):
    return deepcopy(dict(task.state_dict()))
