import pytest
import torch
from lightning import Trainer
from surrogate_runs import Signs, make

from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.synthetic import SyntheticBits


def test_the_source_of_the_paper_is_served_where_none_is_named():
    assert SyntheticBits().source == RoundedGaussian(features=30, frames=2000, levels=4)


def test_an_epoch_has_the_updates_asked_for_also_where_steps_do_not_divide_it():
    data = SyntheticBits(updates_per_epoch=7, updates_per_step=3)
    assert [block.count for block in data.train_dataloader()] == [3, 3, 1]
    assert len(data.train_dataloader()) == 3


def test_held_out_draws_are_the_same_every_time_and_differ_between_splits():
    data = SyntheticBits(RoundedGaussian(frames=50), held_out_draws=2)
    loaders = [data.val_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()]
    first, again, test, predict = (next(iter(loader)).stream.draw(0)[0] for loader in loaders)
    assert torch.equal(first, again)
    assert not torch.equal(first, test)
    assert not torch.equal(test, predict)


def test_rotation_and_seed_are_those_of_every_draw():
    stream = next(iter(SyntheticBits(rotation="redrawn", seed=3).train_dataloader())).stream
    assert (stream.rotation, stream.seed, stream.split) == ("redrawn", 3, "train")


def test_a_source_without_a_bound_trains_and_has_no_effective_bits():
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(make(["sq_mste"], features=4), SyntheticBits(Signs(), updates_per_epoch=2, held_out_draws=1))
    assert "hard_mse/sq_mste" in trainer.logged_metrics
    assert not any("effective_bits" in name for name in trainer.logged_metrics)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"updates_per_epoch": 0}, "updates_per_epoch is 0: set it to 1 or more"),
        ({"held_out_draws": 0}, "held_out_draws is 0"),
        ({"rotation": "none"}, "rotation 'none' is unknown: choose 'fixed' or 'redrawn'"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(setting, message):
    with pytest.raises(ValueError, match=message):
        SyntheticBits(**setting)
