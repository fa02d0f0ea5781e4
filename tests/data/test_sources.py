"""The synthetic sources state their own entropy, R(D) and reference lines truly."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qcodec.data.block_sparse import BlockSparse
from qcodec.data.level_chain import LevelChain
from qcodec.data.mixed_levels import MixedLevels
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.rounded_laplacian import RoundedLaplacian
from qcodec.data.rounded_mixture import RoundedMixture
from qcodec.data.stream import SyntheticStream
from qcodec.random_streams import BatchStreams
from qcodec.rate import discrete_curve, effective_bits, gaussian_source

SOURCES = {
    "gaussian": RoundedGaussian(),
    "laplacian": RoundedLaplacian(),
    "mixture": RoundedMixture(),
    "wide mixture": RoundedMixture(levels=7, means=(0, 0, 2), deviations=(0.3, 2, 0.5), weights=(3, 1, 1)),
    "chain": LevelChain(),
    "alternating chain": LevelChain(levels=3, correlation=-0.6),
    "mixed": MixedLevels(),
    "sparse": BlockSparse(),
    "sparse values": BlockSparse(features=12, levels=2, block=1, active=0.1),
}
each = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


def draw(source, seed=0, frames=20000):
    streams = BatchStreams(1, "cpu")
    streams.start([seed])
    return replace(source, frames=frames).draw(streams)[0]


def entropy(symbols, given=None):
    """Return the plug-in entropy in bits of integer symbols, given others."""
    joint = symbols if given is None else torch.stack([symbols, given])
    counts = joint.unique(dim=-1, return_counts=True)[1].double()
    bits = -(counts / counts.sum() * (counts / counts.sum()).log2()).sum().item()
    return bits if given is None else bits - entropy(given)


@each
def test_the_entropy_is_that_of_what_is_drawn(source):
    index = (2 * draw(source)).long()
    if isinstance(source, LevelChain):
        bits = sum(entropy(row[1:], row[:-1]) for row in index)
    elif isinstance(source, BlockSparse):
        blocks = index.unflatten(0, (-1, source.block))
        active = (blocks[:, 0] != 0).long()
        values = index[blocks.ne(0).flatten(0, 1)]
        share = active.double().mean().item()
        bits = source.features * share * entropy(values) + len(blocks) * entropy(active.flatten())
        assert (blocks.ne(0).sum(1) % source.block == 0).all()  # a block is active or not as a whole
    else:
        bits = sum(entropy(row) for row in index)
    assert source.entropy_bits() == pytest.approx(bits, rel=0.01)


@each
def test_no_information_costs_the_variance(source):
    assert source.references()["zero information"] == pytest.approx(draw(source).var().item(), rel=0.02)


@each
def test_the_bound_falls_from_no_bits_to_the_entropy_and_is_convex(source):
    bits, distortion = source.rate_distortion()
    assert bits[0] == distortion[-1] == 0
    assert bits[-1].item() == pytest.approx(source.entropy_bits(), rel=1e-9)
    assert distortion[0].item() <= source.references()["zero information"] * (1 + 1e-9)
    assert (bits.diff() > 0).all()
    slope = (distortion.diff() / bits.diff())[distortion[1:] > 1e-3]
    assert (slope.diff() > -1e-6).all()


@each
def test_the_bound_lies_above_shannons_for_the_density_of_nearby_values(source):
    """No code of the marginal can beat the variance by more than 6.02 dB per bit of the entropy it spends."""
    bits, distortion = source.rate_distortion()
    gaussian = 0.5 * (source.references()["zero information"] / distortion[1:-1]).log2() * source.features
    assert (bits[1:-1] <= gaussian + 1e-2 * source.features).all()  # a Gaussian is the hardest of one variance


@each
def test_a_draw_depends_on_its_seed_alone(source):
    small = replace(source, frames=50)
    streams = BatchStreams(3, "cpu")
    streams.start([5, 6, 7])
    together = small.draw(streams)
    assert together.shape == (3, source.features, 50)
    assert together.dtype == torch.float32
    assert torch.equal(together[1], draw(source, 6, 50))
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("name", ["laplacian", "mixture", "wide mixture"])
def test_levels_have_the_probability_of_their_cells(name):
    source = SOURCES[name]
    value, probability = source.distribution()
    drawn = draw(source, frames=40000)
    for level, p in zip(value.float(), probability, strict=True):
        assert (drawn == level).double().mean().item() == pytest.approx(p.item(), abs=0.003)


def test_a_laplacian_value_and_a_mixture_have_their_distributions():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    laplace = torch.distributions.Laplace(torch.tensor(0.0).double(), torch.tensor(0.5).double().sqrt())
    torch.testing.assert_close(RoundedLaplacian().cumulative(x), laplace.cdf(x))
    mixture = SOURCES["wide mixture"]
    parts = torch.distributions.Normal(torch.tensor([0.0, 0, 2]).double(), torch.tensor([0.3, 2, 0.5]).double())
    expected = (torch.tensor([0.6, 0.2, 0.2]).double() * parts.cdf(x[:, None])).sum(1)
    torch.testing.assert_close(mixture.cumulative(x), expected)


@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.9])
def test_neighbours_of_a_chain_are_those_of_a_rounded_ar_process(correlation):
    chain = LevelChain(correlation=correlation)
    noise = torch.randn(2, 2_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before, after = noise[0], correlation * noise[0] + math.sqrt(1 - correlation**2) * noise[1]
    first, second = ((x + 2).floor().clamp(0, 3).long() for x in (before, after))
    pairs = torch.bincount(4 * first + second, minlength=16).view(4, 4).double() / 2_000_000
    joint = chain.distribution()[1][:, None] * chain.transition()
    torch.testing.assert_close(joint, pairs, atol=1.5e-3, rtol=0)
    torch.testing.assert_close(chain.distribution()[1] @ chain.transition(), chain.distribution()[1])  # stationary
    drawn = (draw(chain, frames=30000) + 1.5).long()
    counts = torch.bincount((4 * drawn[:, :-1] + drawn[:, 1:]).flatten(), minlength=16).view(4, 4).double()
    torch.testing.assert_close(counts / counts.sum(), joint, atol=4e-3, rtol=0)


def test_a_chain_has_no_longer_memory_and_is_stationary_from_its_first_frame():
    chain = LevelChain(features=2000, frames=37)  # a length that no part divides
    index = (draw(chain, frames=37) + 1.5).long()
    for frame in (0, 1, 7, 36):
        counts = torch.bincount(index[:, frame], minlength=4) / 2000
        torch.testing.assert_close(counts.double(), chain.distribution()[1], atol=0.04, rtol=0)
    index = (draw(replace(chain, features=30), frames=40000) + 1.5).long()
    inner = index[:, 1:-1] == 1  # given the level between them, neighbours on both sides are independent
    before, after = index[:, :-2][inner], index[:, 2:][inner]
    assert entropy(after) - entropy(after, before) < 2e-4


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        (LevelChain(correlation=0.0), RoundedGaussian()),
        (MixedLevels(levels=(4,)), RoundedGaussian()),
        (BlockSparse(active=1.0), RoundedGaussian()),
        (RoundedMixture(means=(0,), deviations=(1,), weights=(2,)), RoundedGaussian()),
    ],
    ids=lambda source: type(source).__name__,
)
def test_a_source_whose_setting_is_off_is_the_rounded_gaussian(source, plain):
    assert source.entropy_bits() == pytest.approx(plain.entropy_bits(), rel=1e-9)
    assert source.references()["zero information"] == pytest.approx(plain.references()["zero information"], rel=1e-9)
    bits, distortion = plain.rate_distortion()
    at = effective_bits(distortion, *source.rate_distortion())
    torch.testing.assert_close(at, bits, atol=2e-3 * plain.features, rtol=0)


def test_values_of_different_levels_share_the_bits_by_their_slopes():
    """At each point the sum of both rates is the least of all divisions of the distortion."""
    bits, distortion = MixedLevels(features=2, levels=(2, 8)).rate_distortion()
    at = 0.5 * (distortion[20] + distortion[21])
    first = torch.linspace(0, float(2 * at), 4001, dtype=torch.float64)
    two, eight = (discrete_curve(*gaussian_source(levels)) for levels in (2, 8))
    both = effective_bits(first, *two) + effective_bits(2 * at - first, *eight)
    assert effective_bits([at], bits, distortion).item() == pytest.approx(both.min().item(), abs=5e-3)


def test_a_sparse_block_of_one_value_has_the_bound_of_its_own_distribution():
    """Against the closed form of a ternary source at low distortion: H(X) - h(D) - D for errors to a neighbour."""
    source = BlockSparse(features=1, levels=2, block=1, active=0.5)  # -0.5, 0, 0.5 at 1/4, 1/2, 1/4
    bits, distortion = source.rate_distortion()
    assert bits[-1].item() == pytest.approx(1.5)
    assert distortion[0].item() == pytest.approx(0.125)
    error = distortion[(distortion > 1e-4) & (distortion < 0.02)] / 0.25  # probability of a neighbouring value
    upper = 1.5 + error * error.log2() + (1 - error) * (1 - error).log2()
    assert (effective_bits(0.25 * error, bits, distortion) <= upper + 1e-3).all()


def test_the_bounds_of_dependent_values_lie_above_white_ones_less_what_is_saved():
    """Wyner and Ziv (1971); and below those of the same values, each alone."""
    white = RoundedGaussian()
    bits, distortion = white.rate_distortion()
    chain = LevelChain()
    at = effective_bits(distortion, *chain.rate_distortion())
    assert (at >= bits - (white.entropy_bits() - chain.entropy_bits()) - 1e-2).all()
    assert (at <= bits + 1e-2).all()
    alone, sparse = BlockSparse(block=1), BlockSparse(block=5)
    bits, distortion = alone.rate_distortion()
    at = effective_bits(distortion, *sparse.rate_distortion())
    assert (at >= bits - (alone.entropy_bits() - sparse.entropy_bits()) - 1e-2).all()
    assert (at <= bits + 1e-2).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LevelChain(correlation=1.0), r"source.correlation is 1.0: set it to a number from -0.999 to 0.999"),
        (lambda: LevelChain(correlation=math.nan), "source.correlation is nan"),
        (lambda: RoundedLaplacian(levels=1), "source.levels is 1: set it to 2 or more"),
        (lambda: RoundedMixture(means=(0,)), "give each component one of each"),
        (lambda: RoundedMixture(means=(), deviations=(), weights=()), "give each component one of each"),
        (lambda: RoundedMixture(deviations=(0.5, 0)), "source.deviations is 0: set it to 1e-06 or more"),
        (lambda: RoundedMixture(weights=(1, -1)), "source.weights is -1: set it to 0 or more"),
        (lambda: RoundedMixture(weights=(0, 0)), "source.weights is 0: set it to 1e-06 or more"),
        (lambda: MixedLevels(levels=()), "source.levels is 0: set it to 2 or more"),
        (lambda: MixedLevels(levels=(4, 1)), "source.levels is 1: set it to 2 or more"),
        (lambda: MixedLevels(features=2), "source.features is 2: set it to 3 or more"),
        (lambda: BlockSparse(active=0), "source.active is 0: set it to a number from 1e-06 to 1.0"),
        (lambda: BlockSparse(levels=3), "source.levels is 3: set it to an even number"),
        (lambda: BlockSparse(block=7), "source.block is 7: set it to a divisor of 30"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_table_of_the_readme_is_what_the_sources_say():
    text = (Path(__file__).parents[2] / "qcodec/data/README.md").read_text(encoding="utf-8")
    rows = dict(
        re.findall(r"^\| `qcodec\.data\.\w+\.(\w+)` \|.*?\| ([\d.]+ \| [\d.]+ \| [\d.]*) \|$", text, re.MULTILINE)
    )
    expected = {}
    for name in ("gaussian", "laplacian", "mixture", "mixed", "chain", "sparse"):
        source = SOURCES[name]
        lines = source.references()
        known = f"{lines['known rotation']:.4f}" if "known rotation" in lines else ""
        expected[type(source).__name__] = f"{source.entropy_bits():.2f} | {lines['zero information']:.4f} | {known}"
    assert rows == expected


@pytest.mark.parametrize("name", ["laplacian", "chain", "sparse"])
def test_targets_are_turned_like_those_of_any_source(name):
    target, observation = SyntheticStream(replace(SOURCES[name], frames=100)).draw(0)
    rotation = torch.linalg.lstsq(target[0].T, observation[0].T).solution.T
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(30), atol=1e-4, rtol=0)
