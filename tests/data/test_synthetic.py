import pytest
import torch

from qcodec.data.synthetic import SyntheticBits, SyntheticSource
from qcodec.rate import empirical_entropy, gaussian_source


def test_targets_have_the_probabilities_and_the_entropy_of_a_rounded_normal_variable():
    target, _ = SyntheticSource(frames=20000).draw(0)
    value, probability = gaussian_source(4)
    for level, p in zip(value.float(), probability, strict=True):
        assert (target == level).double().mean() == pytest.approx(p.item(), abs=0.003)
    codes = (target + 1.5).long()
    assert empirical_entropy(codes).item() == pytest.approx(57.04, abs=0.1)


def test_the_observation_is_the_target_turned_by_an_orthogonal_matrix():
    target, observation = SyntheticSource(frames=100).draw(3, seeds=(0, 1))
    for x, y in zip(target, observation, strict=True):
        rotation = torch.linalg.lstsq(x.T, y.T).solution.T
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(30), rtol=0, atol=1e-4)
        assert (rotation - torch.eye(30)).abs().max() > 0.1


def test_a_member_sees_the_same_data_alone_and_beside_others():
    together = SyntheticSource(frames=50, seed=5).draw(7, seeds=range(3))
    alone = SyntheticSource(frames=50, seed=7).draw(7)
    for several, one in zip(together, alone, strict=True):
        torch.testing.assert_close(several[2:], one)


@pytest.mark.parametrize("other", [{"seed": 1}, {"rank": 1}, {"split": "val"}])
def test_every_seed_rank_and_split_has_a_stream_of_its_own(other):
    first, second = SyntheticSource(frames=50).draw(0)[0], SyntheticSource(frames=50, **other).draw(0)[0]
    assert (first == second).float().mean() < 0.5


def test_draws_differ_and_repeat_by_their_number():
    source = SyntheticSource(frames=50)
    assert torch.equal(source.draw(1)[0], source.draw(1)[0])
    assert not torch.equal(source.draw(1)[0], source.draw(2)[0])


@pytest.mark.parametrize(("rotation", "same"), [("fixed", True), ("redrawn", False)])
def test_the_rotation_is_fixed_for_a_seed_or_redrawn_for_every_draw(rotation, same):
    turns = []
    for index in range(2):
        target, observation = SyntheticSource(frames=100, rotation=rotation).draw(index)
        turns.append(torch.linalg.lstsq(target[0].T, observation[0].T).solution.T)
    assert torch.allclose(turns[0], turns[1], atol=1e-4) == same


def test_quantizing_without_learning_gives_the_published_mse():
    values = [SyntheticSource(seed=seed).no_learning_mse() for seed in range(3)]
    assert all(0.1035 < value < 0.1050 for value in values)


def test_an_epoch_has_the_updates_asked_for_also_where_steps_do_not_divide_it():
    data = SyntheticBits(updates_per_epoch=7, updates_per_step=3)
    assert [block.count for block in data.train_dataloader()] == [3, 3, 1]
    assert len(data.train_dataloader()) == 3


def test_held_out_draws_are_the_same_every_time_and_differ_between_splits():
    data = SyntheticBits(frames=50, held_out_draws=2)
    loaders = [data.val_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()]
    first, again, test, predict = (next(iter(loader)).source.draw(0)[0] for loader in loaders)
    assert torch.equal(first, again)
    assert not torch.equal(first, test)
    assert not torch.equal(test, predict)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"features": 0}, "features is too small: give 1 or more"),
        ({"levels": 1}, "levels is too small: give 2 or more"),
        ({"updates_per_epoch": 0}, "updates_per_epoch is too small"),
        ({"rotation": "none"}, "rotation 'none' is unknown: choose 'fixed' or 'redrawn'"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(setting, message):
    with pytest.raises(ValueError, match=message):
        SyntheticBits(**setting)
