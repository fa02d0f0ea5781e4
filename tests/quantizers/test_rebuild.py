"""Parts that a user writes are built anew and described, however their constructors take and keep their arguments."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from qcodec import (
    STE,
    EMACodebook,
    GradientEstimator,
    ImportanceMask,
    LearnedCodebook,
    Quantizer,
    ResidualVQ,
    VectorQuantizer,
)
from qcodec.quantizers.levels import LevelSampler
from qcodec.quantizers.rebuild import build, settings_of

HERE = [__name__]


class Chain(Quantizer):
    """Keeps the parts that it takes in a module of their argument's name."""

    def __init__(self, parts, shape=(1, 2), estimator="none"):
        super().__init__()
        self.parts = nn.ModuleDict(parts) if isinstance(parts, dict) else nn.ModuleList(parts)
        self.shape, self.estimator = (0, *shape), STE()

    def forward(self, z, *, features=None, level=None):
        raise NotImplementedError

    def decode(self, codes):
        raise NotImplementedError


class Wrapped(Quantizer):
    """Takes a module that records nothing, with a part in it."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, z, *, features=None, level=None):
        raise NotImplementedError

    def decode(self, codes):
        raise NotImplementedError


@dataclass
class Between(LevelSampler):
    low: float = 0.125
    high: float = 6.0

    def draw(self, clips):
        return torch.full((clips,), self.low)


class Amplifies:
    def __init__(self, gain=3.0, **others):
        super().__init__(**others)
        self.gain = gain


class Amplified(Amplifies, GradientEstimator):
    def estimate(self, z, z_q):
        return z_q * self.gain


def ema():
    return VectorQuantizer(EMACodebook(size=16, dim=4))


def kept(quantizers):
    return list(quantizers.values() if isinstance(quantizers, nn.ModuleDict) else quantizers)


@pytest.mark.parametrize("parts", [lambda: [ema(), ema()], lambda: (ema(),), lambda: {"a": ema()}])
def test_parts_in_lists_tuples_and_dictionaries_are_drawn_anew(parts):
    quantizer = Chain(parts())
    twins = kept(quantizer.rebuild().parts)
    for before, after in zip(kept(quantizer.parts), twins, strict=True):
        assert not torch.equal(before.codebook.weight, after.codebook.weight)
    assert len({id(twin) for twin in twins}) == len(twins)


def test_a_part_that_a_list_holds_twice_is_one_in_the_twin_too():
    shared = ema()
    twin = Chain([shared, shared, ema()]).rebuild()
    assert twin.parts[0] is twin.parts[1]
    assert twin.parts[0] is not twin.parts[2]


def test_a_part_within_a_module_of_torch_is_drawn_anew():
    quantizer = Wrapped(nn.Sequential(nn.Linear(4, 4), ema()))
    twin = quantizer.rebuild()
    assert not torch.equal(quantizer.inside[1].codebook.weight, twin.inside[1].codebook.weight)
    assert not torch.equal(quantizer.inside[0].weight, twin.inside[0].weight)


def test_a_plain_argument_is_not_taken_for_the_part_of_its_name():
    assert Chain([ema()], estimator="some").arguments()["estimator"] == "some"


def test_an_exchanged_part_of_a_list_counts():
    quantizer = Chain([ema()])
    quantizer.parts[0] = VectorQuantizer(LearnedCodebook(size=8, dim=4))
    assert settings_of(quantizer)["arguments"]["parts"] == [settings_of(quantizer.parts[0])]


def test_a_dataclass_records_its_fields():
    sampler = ImportanceMask(4, (2,), training_levels=Between(0.5, 0.75)).rebuild().training_levels
    assert sampler == Between(0.5, 0.75)
    assert build(settings_of(sampler), HERE) == sampler


def test_a_constructor_that_a_class_inherits_from_elsewhere_records_too():
    assert Amplified(gain=5.0).rebuild().gain == 5.0
    assert build(settings_of(Amplified(gain=7.0)), HERE).gain == 7.0


def test_tuples_stay_tuples():
    quantizer = Chain([ema()], shape=(3, (4, 5)))
    assert build(settings_of(quantizer), HERE).shape == (0, 3, (4, 5))


@pytest.mark.parametrize(
    "arguments", [{"stages": ["a"]}, {"stages": 5}, {"stages": [], "more": 1}, [1], None, {"size": 10**16}]
)
def test_settings_that_build_nothing_are_refused_in_one_line(arguments):
    kind = LearnedCodebook if isinstance(arguments, dict) and "size" in arguments else ResidualVQ
    with pytest.raises(ValueError, match="settings") as refused:
        build({**settings_of(kind()), "arguments": arguments} if kind is LearnedCodebook else described(arguments))
    assert "\n" not in str(refused.value)


def described(arguments):
    return {"class": "qcodec.quantizers.residual.ResidualVQ", "arguments": arguments}
