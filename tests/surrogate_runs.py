"""Short runs of surrogate systems, for the tests."""

import torch
from lightning import Trainer
from torch import nn

from qcodec import DetachedNoiseApproximation, Identity, ModifiedSTE, NoiseApproximation, ScalarQuantizer
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.source import SyntheticSource
from qcodec.data.synthetic import SyntheticBits
from qcodec.functional import straight_through
from qcodec.losses.weights import LossWeights
from qcodec.quantizers.base import Quantizer, QuantizerOutput
from qcodec.schedules import Cosine
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System

CL = LossWeights(commitment=0.1)


class Dithered(Quantizer):
    """A stranger's quantizer, which draws random numbers and says nothing of it."""

    def forward(self, z, *, features=None, level=None):
        hard = (z + torch.rand_like(z)).round().detach()
        losses = {"commitment": (z - hard).square().mean(dim=(1, 2))}
        return QuantizerOutput(straight_through(z, hard), hard.long(), z[:, 0].detach(), losses, hard)

    def decode(self, codes):
        return codes.float()


class Learned(Quantizer):
    """A stranger's quantizer with a weight that is drawn."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(1, 1, bias=False)

    def forward(self, z, *, features=None, level=None):
        scale = self.scale.weight.abs() + 0.5
        hard = (z.detach() / scale).round() * scale
        return QuantizerOutput(z + (hard - z.detach()), hard.long(), z[:, 0].detach(), {}, hard.detach())

    def decode(self, codes):
        return codes.float()


class Signs(SyntheticSource):
    """A stranger's source: a bit per value, whose R(D) it does not know."""

    features, frames = 4, 6

    def __init__(self, width=6):
        self.width = width

    def draw(self, streams):
        return streams.normal((streams.entries, self.features, self.width)).sign()

    def entropy_bits(self):
        return 4.0

    def rate_distortion(self):
        return None

    def references(self):
        return {}


SYSTEMS = {
    "none": lambda: System(Identity()),
    "sq_ste_cl": lambda: System(ScalarQuantizer(), CL),
    "sq_mste": lambda: System(ScalarQuantizer(estimator=ModifiedSTE())),
    "sq_mste_tensor": lambda: System(ScalarQuantizer(estimator=ModifiedSTE("tensor")), CL),
    "na": lambda: System(ScalarQuantizer(estimator=NoiseApproximation())),
    "na_det_cl": lambda: System(ScalarQuantizer(estimator=DetachedNoiseApproximation()), CL),
    "dithered": lambda: System(Dithered(), CL),
    "learned": lambda: System(Learned()),
    "narrow": lambda: System(ScalarQuantizer(), CL, embedding=12, schedule=Cosine(1e-3, updates=20)),
}


def make(names, **settings):
    return SurrogateTask({name: SYSTEMS[name]() for name in names}, **settings)


def fit(task, epochs=1, updates=12, folder=None, frames=64, features=30, checkpoint=None, callbacks=(), **data):
    trainer = Trainer(
        callbacks=list(callbacks),
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    source = RoundedGaussian(features, frames)
    served = SyntheticBits(source, updates_per_epoch=updates, updates_per_step=5, held_out_draws=2, **data)
    trainer.fit(task, served, ckpt_path=checkpoint)
    return trainer
