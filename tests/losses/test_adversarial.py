import copy

import pytest
import torch
from audiotools import AudioSignal
from dac.model.discriminator import Discriminator
from dac.nn.loss import GANLoss
from torch import nn

from qcodec.codecs.dac.discriminator import DacDiscriminator
from qcodec.losses.adversarial import Adversary


class Tiny(nn.Module):
    """Two discriminators of two layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.ModuleList(nn.Conv1d(1, 3, size, 2) for size in (3, 5))
        self.last = nn.ModuleList(nn.Conv1d(3, 1, 3) for _ in range(2))

    def forward(self, x):
        hidden = [layer(x).relu() for layer in self.first]
        return [[h, h.tanh(), layer(h)] for h, layer in zip(hidden, self.last, strict=True)]


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny():
    torch.manual_seed(0)
    return Tiny()


def small():
    torch.manual_seed(0)
    return DacDiscriminator(periods=(2,), fft_sizes=(64,))


def gradients(module):
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


@pytest.mark.parametrize("discriminator", [tiny, small])
def test_the_discriminators_loss_and_gradients_are_those_of_dac(discriminator):
    fake, real, module = draw(2, 1, 200), draw(2, 1, 200, seed=1), discriminator()
    expected = GANLoss(module).discriminator_loss(AudioSignal(fake, 16000), AudioSignal(real, 16000))
    expected.backward()
    wanted = gradients(module)
    module.zero_grad()
    found = Adversary(module).discriminator_loss(fake, real)
    found.backward()
    torch.testing.assert_close(found, expected)
    for name, value in gradients(module).items():
        torch.testing.assert_close(value, wanted[name])


@pytest.mark.parametrize("discriminator", [tiny, small])
def test_the_codecs_losses_and_gradients_are_those_of_dac(discriminator):
    fake, real, module = draw(2, 1, 200), draw(2, 1, 200, seed=1), discriminator()
    theirs, ours = (fake.clone().requires_grad_() for _ in range(2))
    expected = GANLoss(module).generator_loss(AudioSignal(theirs, 16000), AudioSignal(real, 16000))
    (expected[0] + 2 * expected[1]).backward()
    found = Adversary(module).generator_losses(ours, real)
    (found["adversarial"] + 2 * found["feature_matching"]).backward()
    torch.testing.assert_close(found["adversarial"], expected[0])
    torch.testing.assert_close(found["feature_matching"], expected[1])
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_each_side_gets_a_gradient_from_its_own_loss_alone():
    adversary, real = Adversary(tiny()), draw(2, 1, 50)
    fake = draw(2, 1, 50, seed=1).requires_grad_()
    sum(adversary.generator_losses(fake, real).values()).backward()
    assert fake.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in adversary.parameters())
    fake.grad = None
    adversary.discriminator_loss(fake, real).backward()
    assert fake.grad is None
    assert all(p.grad is not None for p in adversary.parameters())


def test_a_frozen_weight_stays_frozen():
    adversary = Adversary(tiny())
    adversary.discriminator.first.requires_grad_(False)
    adversary.generator_losses(draw(1, 1, 50), draw(1, 1, 50))
    assert [p.requires_grad for p in adversary.parameters()] == [False] * 4 + [True] * 4


def test_a_perfect_verdict_costs_nothing():
    class Knows(nn.Module):
        def forward(self, x):
            return [[(x.amax(-1, keepdim=True) > 1).float()]]

    fake, real = torch.zeros(1, 1, 4), torch.full((1, 1, 4), 2.0)
    adversary = Adversary(Knows())
    assert adversary.discriminator_loss(fake, real) == 0
    assert adversary.generator_losses(fake, real) == {"adversarial": 1, "feature_matching": 0}
    assert adversary.generator_losses(real, real)["adversarial"] == 0


def test_the_defaults_are_those_of_dac_and_take_its_weights():
    with torch.device("meta"), pytest.warns(FutureWarning, match="weight_norm"):
        stock = Discriminator(sample_rate=16000)
    with torch.device("meta"):
        ours = DacDiscriminator()
    shapes = [{name: v.shape for name, v in model.state_dict().items()} for model in (ours.model, stock)]
    assert shapes[0] == shapes[1]


def test_a_discriminator_can_be_copied():
    module, x = small(), draw(1, 1, 100)
    ours, copied = (torch.cat([m.flatten() for maps in d(x) for m in maps]) for d in (module, copy.deepcopy(module)))
    assert torch.equal(ours, copied)


def test_the_losses_are_of_full_precision_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = Adversary(tiny()).generator_losses(draw(1, 1, 50).bfloat16(), draw(1, 1, 50))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


@pytest.mark.parametrize("fft_size", [36, 64, 100])
def test_the_shortest_crop_passes(fft_size):
    discriminator = DacDiscriminator(periods=(), fft_sizes=(fft_size,), bands=((0.0, 0.5), (0.5, 1.0)))
    assert discriminator(draw(1, 1, discriminator.shortest))


def test_discriminators_of_scales_alone_take_any_crop():
    assert DacDiscriminator(periods=(), fft_sizes=(), rates=(1,)).shortest == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DacDiscriminator(periods=(), fft_sizes=()), "all empty: name at least one"),
        (lambda: small()(draw(1, 1, 40)), "need 41 samples or more, not 40: give longer crops"),
        (lambda: Adversary(tiny()).discriminator_loss(draw(1, 1, 50), draw(1, 1, 49)), r"\(1, 1, 50\) and \(1, 1, 49"),
        (lambda: Adversary(tiny()).generator_losses(draw(1, 2, 50), draw(1, 2, 50)), "channels as clips of their own"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("settings", "message"), [({"clip": 0.0}, "clip=0.0"), ({"starts_at": -1}, "starts_at=-1")])
def test_a_bad_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Adversary(tiny(), **settings)
