import pytest
import torch

from qcodec import NoiseApproximation, ScalarQuantizer
from qcodec.random_streams import BatchStreams, drawing_from, normal_like, part_of_batch, stream_seed, uniform_like


def drawn(streams, *kinds):
    with drawing_from(streams):
        return [getattr(streams, kind)((streams.entries, 3, 40)) for kind in kinds]


def test_an_entry_draws_the_same_alone_and_beside_others_whatever_others_drew_before():
    together, alone = BatchStreams(3, "cpu"), BatchStreams(1, "cpu")
    for update in range(2):
        together.start([stream_seed(seed, update) for seed in (4, 5, 6)])
        alone.start([stream_seed(5, update)])
        drawn(together, "uniform", "uniform", "normal")
        for several, one in zip(drawn(together, "normal", "uniform"), drawn(alone, "normal", "uniform"), strict=True):
            assert torch.equal(several[1:2], one)


def test_draws_of_one_turn_differ_and_a_turn_repeats_until_a_new_start():
    streams = BatchStreams(2, "cpu")
    streams.start([1, 2])
    first, second = drawn(streams, "normal", "normal")
    assert not torch.equal(first, second)
    assert all(map(torch.equal, drawn(streams, "normal", "normal"), (first, second)))
    streams.start([3, 2])
    again = drawn(streams, "normal")[0]
    assert not torch.equal(again[0], first[0])
    assert torch.equal(again[1], first[1])


def test_the_numbers_have_their_distributions():
    streams = BatchStreams(4, "cpu")
    streams.start(range(4))
    normal, uniform = streams.normal((4, 50_000)), streams.uniform((4, 50_000), torch.float64)
    assert normal.mean().item() == pytest.approx(0, abs=0.01)
    assert normal.var().item() == pytest.approx(1, abs=0.02)
    assert uniform.dtype == torch.float64
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.005)
    assert uniform.var().item() == pytest.approx(1 / 12, abs=0.002)
    assert torch.corrcoef(normal).fill_diagonal_(0).abs().max() < 0.02


def test_without_streams_the_usual_generator_is_drawn_from_and_with_them_it_is_left_alone():
    x = torch.empty(2, 5, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        normal, uniform = normal_like(x), uniform_like(x, (2, 1))
        torch.manual_seed(7)
        assert torch.equal(normal, torch.randn_like(x))
        assert torch.equal(uniform, torch.rand(2, 1, dtype=torch.float64))
        state = torch.get_rng_state()
        with drawing_from(BatchStreams(2, "cpu")):
            assert normal_like(x).dtype == uniform_like(x, (2, 1)).dtype == torch.float64
        assert torch.equal(torch.get_rng_state(), state)


def test_a_batch_of_another_size_is_named():
    streams = BatchStreams(2, "cpu")
    with pytest.raises(ValueError, match=r"numbers of shape \(3, 4\) are no batch of 2 entries"):
        streams.normal((3, 4))
    with pytest.raises(ValueError, match="3 seeds for 2 entries"):
        streams.start([1, 2, 3])


def test_parts_of_a_batch_draw_what_the_whole_does_and_all_else_apart():
    x = torch.empty(6, 3)
    with torch.random.fork_rng(devices=[]):
        with part_of_batch(0, 6, 6, seed=5, own_seed=1):
            whole = normal_like(x), uniform_like(x, (6, 2)), normal_like(x.view(6, 1, 3).mT)
        parts, others = [], []
        for first, own in ((0, 2), (2, 1), (3, 3)):
            with part_of_batch(first, own, 6, seed=5, own_seed=10 + first):
                part, numbers = x[first : first + own], [normal_like(x[first : first + own])]
                others.append(torch.rand(4))  # of a module that knows nothing of parts, in between
                parts.append((*numbers, uniform_like(part, (own, 2)), normal_like(part.view(own, 1, 3).mT)))
    for number, drawn in enumerate(whole):
        assert torch.equal(torch.cat([part[number] for part in parts]), drawn)
    assert len({tuple(each.tolist()) for each in others}) == 3


def test_what_is_drawn_for_another_number_of_entries_is_the_same_in_every_part():
    drawn = []
    for first in (0, 2):
        with torch.random.fork_rng(devices=[]), part_of_batch(first, 2, 4, seed=5, own_seed=first):
            drawn.append(uniform_like(torch.empty(1), (7,)))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("draw", ["tensor", "sample"])
@pytest.mark.parametrize("own", [1, 2])
def test_noise_of_one_draw_for_all_clips_is_the_same_in_parts_of_one_clip(draw, own):
    z = torch.randn(4, 3, 20, generator=torch.Generator().manual_seed(0))
    quantizer = ScalarQuantizer(estimator=NoiseApproximation(draw=draw))
    with torch.random.fork_rng(devices=[]):
        with part_of_batch(0, 4, 4, seed=5, own_seed=0):
            whole = quantizer(z).z_hat
        for first in range(0, 4, own):
            with part_of_batch(first, own, 4, seed=5, own_seed=1 + first):
                torch.testing.assert_close(quantizer(z[first : first + own]).z_hat, whole[first : first + own])
