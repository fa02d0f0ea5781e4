import pytest
import torch
from surrogate_runs import Signs

from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream


def stream(frames=50, **settings):
    return SyntheticStream(RoundedGaussian(frames=frames), **settings)


# Levels of the first member's first twelve values, times two, and the sum of all; recorded once, never to change.
RECORDED = [
    (stream(2000), 0, (0,), [1, -1, -3, 1, 3, -1, 1, 1, -1, -3, -1, 1], -285.0, 1.5425760746002197),
    (stream(seed=5), 7, (0, 1, 2), [-1, -3, -1, 1, 3, 1, -1, 1, 1, 3, 1, 1], 139.0, 0.0726269781589508),
    (
        SyntheticStream(RoundedGaussian(7, 50, 5), rotation="redrawn", rank=1, split="val"), 3, (4,),
        [-2, -2, 0, -2, 2, -4, -4, -4, 2, 0, -2, -2], 17.0, 0.061843931674957275,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("drawn", "index", "seeds", "doubled", "total", "observed"), RECORDED)
def test_a_seed_draws_the_same_numbers_for_ever(drawn, index, seeds, doubled, total, observed):
    target, observation = drawn.draw(index, seeds)
    assert (2 * target.flatten()[:12]).tolist() == doubled
    assert target.sum().item() == total
    assert observation[0, 0, 0].item() == pytest.approx(observed, abs=1e-6)


def test_the_observation_is_the_target_turned_by_an_orthogonal_matrix():
    target, observation = stream(100).draw(3, seeds=(0, 1))
    for x, y in zip(target, observation, strict=True):
        rotation = torch.linalg.lstsq(x.T, y.T).solution.T
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(30), rtol=0, atol=1e-4)
        assert (rotation - torch.eye(30)).abs().max() > 0.1


def test_a_member_sees_the_same_data_alone_and_beside_others():
    together = stream(seed=5).draw(7, seeds=range(3))
    alone = stream(seed=7).draw(7)
    for several, one in zip(together, alone, strict=True):
        torch.testing.assert_close(several[2:], one)


@pytest.mark.parametrize("other", [{"seed": 1}, {"rank": 1}, {"split": "val"}])
def test_every_seed_rank_and_split_has_a_stream_of_its_own(other):
    first, second = stream().draw(0)[0], stream(**other).draw(0)[0]
    assert (first == second).float().mean() < 0.5


def test_draws_differ_and_repeat_by_their_number():
    assert torch.equal(stream().draw(1)[0], stream().draw(1)[0])
    assert not torch.equal(stream().draw(1)[0], stream().draw(2)[0])


@pytest.mark.parametrize(("rotation", "same"), [("fixed", True), ("redrawn", False)])
def test_the_rotation_is_fixed_for_a_seed_or_redrawn_for_every_draw(rotation, same):
    turns = []
    for index in range(2):
        target, observation = stream(100, rotation=rotation).draw(index)
        turns.append(torch.linalg.lstsq(target[0].T, observation[0].T).solution.T)
    assert torch.allclose(turns[0], turns[1], atol=1e-4) == same


def test_a_source_of_ones_own_is_turned_and_seeded_like_any_other():
    target, observation = SyntheticStream(Signs()).draw(0, seeds=(0, 1))
    assert target.shape == observation.shape == (2, 4, 6)
    assert torch.equal(target.abs(), torch.ones(2, 4, 6))
    torch.testing.assert_close(observation.norm(dim=1), target.norm(dim=1))
    assert torch.equal(target[1:], SyntheticStream(Signs(), seed=1).draw(0)[0])


def test_a_source_that_draws_another_shape_than_it_says_is_named():
    with pytest.raises(ValueError, match=r"Signs.draw returned \(1, 4, 5\): let it return \(1, 4, 6\)"):
        SyntheticStream(Signs(width=5)).draw(0)
