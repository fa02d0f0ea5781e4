import pytest
import torch

from qcodec.metrics.named_means import NamedMeans


def test_a_mean_counts_each_value_by_its_weight_and_leaves_out_names_that_never_came():
    means = NamedMeans(["mel", "late", "rate"])
    means.update({"mel": torch.tensor(1.0)}, weight=3)
    means.update({"mel": torch.tensor(5.0), "late": torch.tensor(7.0)}, weight=1)
    assert {name: value.item() for name, value in means.compute().items()} == {"mel": 2.0, "late": 7.0}


def test_a_name_that_was_not_announced_is_an_error():
    with pytest.raises(ValueError, match="there is no mean named 'mle': choose one of mel"):
        NamedMeans(["mel"]).update({"mle": torch.tensor(1.0)})
