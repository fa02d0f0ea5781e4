import math

import pytest
import torch
from residual_sites import residual_at

from qcodec import (
    AllCodebooks,
    CodebookDropout,
    ImportanceMask,
    LogUniformLevels,
    ModifiedSTE,
    UniformLevels,
    residual_vq,
)
from qcodec.quantizers.vector import FactorizedVQ
from qcodec.rate import kbps, side_bits

C, D, STAGES, K, DIM = 6, 12, 4, 32, 3


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def mask_of(gain=10.0, **settings):
    """Make an allocator whose untrained network tells frames apart."""
    torch.manual_seed(0)
    allocator = ImportanceMask(C, **{"widths": (5, 4)} | settings)
    with torch.no_grad():
        allocator.subnet[-1].weight_g.fill_(gain)
        for name, value in allocator.named_parameters():
            if not name.endswith("weight_v"):
                value.add_(0.1 * torch.randn(value.shape))
    return allocator


def quantizer_of(estimator=None, **settings):
    allocator = mask_of(**settings)
    return residual_vq(D, STAGES, K, DIM, allocator, estimator)


@pytest.mark.parametrize("level", [0.01, 0.3, 1.0, 3.7, 1e6])
def test_in_evaluation_a_frames_depth_is_that_of_its_importance_times_the_level(level):
    quantizer = quantizer_of().eval()
    z, features = draw(3, D, 40), draw(3, C, 40, seed=1)
    output = quantizer(z, features=features, level=level)
    p = quantizer.allocator.importance(features).double()
    expected = ((p * level * STAGES).floor() + 1).clamp_max(STAGES)
    assert torch.equal((output.codes >= 0).sum(1), expected.long())
    torch.testing.assert_close(output.bits.double(), expected * 5 + 2)
    torch.testing.assert_close(output.losses["rate"].double(), p.mean(1), rtol=1e-5, atol=0)


def test_the_rate_is_that_of_the_papers_formula():
    torch.manual_seed(0)
    quantizer = residual_vq(D, 8, 1024, DIM, ImportanceMask(C, (5,))).eval()
    output = quantizer(draw(1, D, 40), features=draw(1, C, 40, seed=1))
    depth = (output.codes >= 0).sum(1).double().mean().item()
    frame_rate = 44100 / 512
    assert kbps(output.bits.mean().item(), frame_rate) == pytest.approx((depth * 10 + 3) * frame_rate / 1000)
    assert side_bits(8) == 3


def test_more_level_never_takes_a_stage_from_a_frame():
    quantizer = quantizer_of().eval()
    z, features = draw(2, D, 40), draw(2, C, 40, seed=1)
    bits = torch.stack([quantizer(z, features=features, level=v).bits for v in (1e-9, 0.1, 0.5, 1, 2, 6, 1e9)])
    assert (bits.diff(dim=0) >= 0).all()
    assert (bits[0] == 5 + 2).all()
    assert (bits[-1] == STAGES * 5 + 2).all()
    assert ((bits[3] > bits[0]) & (bits[3] < bits[-1])).any()


def test_without_a_level_the_default_level_is_used():
    z, features = draw(2, D, 40), draw(2, C, 40, seed=1)
    default, named = quantizer_of().eval(), quantizer_of(default_level=0.3).eval()
    assert torch.equal(default(z, features=features).codes, default(z, features=features, level=1.0).codes)
    assert torch.equal(named(z, features=features).codes, default(z, features=features, level=0.3).codes)


@pytest.mark.parametrize("n", range(1, STAGES + 1))
def test_a_constant_rate_of_any_number_of_stages_is_served_by_the_same_stages(n):
    quantizer = quantizer_of().eval()
    z, features = draw(2, D, 40), draw(2, C, 40, seed=1)
    full = quantizer(z, features=features, level=1e9)
    constant = quantizer.with_allocator(AllCodebooks())(z, features=features, level=n)
    assert torch.equal(constant.codes[:, :n], full.codes[:, :n])
    assert (constant.codes[:, n:] == -1).all()
    assert torch.equal(constant.z_hat, quantizer.decode(full.codes[:, :n]))
    assert (constant.bits == 5 * n).all(), "no side information"


def test_another_allocator_takes_nothing_from_the_quantizer_and_learns_with_it():
    quantizer = quantizer_of().eval()
    other = quantizer.with_allocator(CodebookDropout(0.5))
    assert isinstance(quantizer.allocator, ImportanceMask)
    assert other.quantizers is quantizer.quantizers
    assert not other.allocator.training
    assert not any(name.startswith("allocator") for name in other.state_dict())


@pytest.mark.parametrize("level", [1e-9, 0.1, 1e9])
def test_stages_that_no_frame_is_sent_are_not_computed(monkeypatch, level):
    quantizer, looked_up = quantizer_of().eval(), []
    plain = FactorizedVQ.quantize
    monkeypatch.setattr(FactorizedVQ, "quantize", lambda stage, z: looked_up.append(stage) or plain(stage, z))
    output = quantizer(draw(2, D, 40), features=draw(2, C, 40, seed=1), level=level)
    assert len(looked_up) == (output.codes >= 0).sum(1).max() == {1e-9: 1, 0.1: 1, 1e9: STAGES}[level]
    assert torch.equal(quantizer.decode(output.codes), output.z_hat)


def test_in_training_the_last_clips_get_every_stage_and_need_no_side_information():
    quantizer = quantizer_of(full_share=0.5)
    output = quantizer(draw(5, D, 40), features=draw(5, C, 40, seed=1))
    depth = (output.codes >= 0).sum(1)
    assert (depth[3:] == STAGES).all()
    assert (depth[:3] < STAGES).any()
    torch.testing.assert_close(output.bits, depth * 5.0 + torch.tensor([2.0, 2, 2, 0, 0])[:, None])


def test_the_rate_loss_averages_over_a_batch_to_the_mean_importance_of_the_clips_it_rules():
    allocator, features = mask_of(full_share=0.5), draw(5, C, 40, seed=1)
    rate = allocator(draw(5, D, 40), STAGES, features=features).losses["rate"]
    assert rate.shape == (5,)
    assert rate[3:].tolist() == [0, 0]
    torch.testing.assert_close(rate.mean(), allocator.importance(features[:3]).mean())


@pytest.mark.parametrize("sampler", [UniformLevels(0.5, 4.0), LogUniformLevels(0.5, 4.0)])
def test_levels_are_drawn_as_the_sampler_says(sampler):
    torch.manual_seed(0)
    levels = sampler.draw(20000).sort().values
    assert levels[0] >= 0.5
    assert levels[-1] <= 4.0
    spread = levels if isinstance(sampler, UniformLevels) else levels.log()
    share = (spread - spread[0]) / (spread[-1] - spread[0])
    torch.testing.assert_close(share, torch.linspace(0, 1, 20000), rtol=0, atol=0.02)


def test_each_clip_of_a_training_batch_has_a_level_of_its_own_drawn_by_the_seed():
    allocator = mask_of(training_levels=UniformLevels(0.125, 2.0))
    same = draw(1, C, 40, seed=1).expand(40, -1, -1)
    torch.manual_seed(3)
    first = allocator(draw(40, D, 40), STAGES, features=same).mask[:30].sum((1, 2))
    torch.manual_seed(3)
    again = allocator(draw(40, D, 40), STAGES, features=same).mask[:30].sum((1, 2))
    assert len(first.unique()) > 10
    assert torch.equal(first, again)


def test_mixed_precision_changes_no_depth():
    quantizer = quantizer_of().eval()
    z, features = draw(2, D, 40), draw(2, C, 40, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = quantizer(z, features=features)
    assert torch.equal(mixed.codes, quantizer(z, features=features).codes)
    assert mixed.losses["rate"].dtype == torch.float32


def test_training_spends_the_bits_on_the_frames_that_need_them():
    torch.manual_seed(0)
    quantizer = residual_vq(4, STAGES, 16, 4, ImportanceMask(4, (8,)))
    adam = torch.optim.Adam(quantizer.parameters(), 0.02)
    loud = (torch.arange(32) >= 16).float()
    for update in range(150):
        z = draw(8, 4, 32, seed=update) * loud
        output = quantizer(z, features=z)
        loss = 3 * (output.z_hat - z).square().mean() + 0.1 * output.losses["rate"].mean()
        loss = loss + sum(output.losses[name].mean() for name in ("commitment", "codebook"))
        adam.zero_grad()
        loss.backward()
        adam.step()
    z = draw(8, 4, 32, seed=999) * loud
    bits = quantizer.eval()(z, features=z).bits.mean(0)
    assert bits[20:].mean() > 1.5 * bits[:12].mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ImportanceMask(0), "channels=0 and widths="),
        (lambda: ImportanceMask(4, sharpness=0), "sharpness=0 makes no step"),
        (lambda: ImportanceMask(4, full_share=1.0), "full_share=1.0 leaves no clip to importance"),
        (lambda: ImportanceMask(4, default_level=0), "level=0 is no rate level: give a positive number"),
        (lambda: UniformLevels(0, 1), "low=0 and high=1 are no range of levels"),
        (lambda: LogUniformLevels(2, 1), "low=2 and high=1 are no range of levels"),
        (lambda: quantizer_of()(draw(4, D, 5)), "ImportanceMask decides by the encoder's features"),
        (lambda: quantizer_of()(draw(4, D, 5), features=draw(4, C, 6)), r"\(4, 6, 6\) and embedding \(4, 12, 5\) diff"),
        (lambda: quantizer_of()(draw(4, D, 5), features=draw(4, 7, 5)), r"shape \(B, 6, T\), not \(4, 7, 5\)"),
        (
            lambda: quantizer_of()(draw(3, D, 5), features=draw(3, C, 5)),
            "a batch of 3 with full_share=0.25 has 3 clips .* and 0 of full depth: give 4 clips or more",
        ),
        *(
            (lambda v=v: quantizer_of().eval()(draw(1, D, 5), features=draw(1, C, 5), level=v), f"level={v} is no rate")
            for v in (0, -1.0, math.inf, math.nan)
        ),
    ],
)
def test_what_cannot_be_is_named_with_its_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_share_of_zero_leaves_every_clip_to_importance():
    quantizer = quantizer_of(full_share=0.0)
    output = quantizer(draw(1, D, 40), features=draw(1, C, 40, seed=1))
    assert (output.codes == -1).any()


@pytest.mark.parametrize("at", ["projected", "stage", "sum"])
@pytest.mark.parametrize("path", ["attached", "output_detached", "detached"])
def test_importance_learns_from_the_decoder_wherever_the_estimator_acts(at, path):
    quantizer = residual_at(at, (D, STAGES, K, DIM), ModifiedSTE(), path, mask_of())
    quantizer(draw(4, D, 40), features=draw(4, C, 40, seed=1)).z_hat.square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in quantizer.allocator.parameters())
