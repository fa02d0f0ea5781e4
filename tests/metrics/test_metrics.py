import math

import pytest
import torch

from qcodec.metrics.codec import Bitrate, CodebookUsage, MeanAbsoluteEmbedding, NamedMeans


def test_a_mean_counts_each_value_by_its_weight_and_leaves_out_names_that_never_came():
    means = NamedMeans(["mel", "late", "rate"])
    means.update({"mel": torch.tensor(1.0)}, weight=3)
    means.update({"mel": torch.tensor(5.0), "late": torch.tensor(7.0)}, weight=1)
    assert {name: value.item() for name, value in means.compute().items()} == {"mel": 2.0, "late": 7.0}


def test_a_name_that_was_not_announced_is_an_error():
    with pytest.raises(ValueError, match="there is no mean named 'mle': choose one of mel"):
        NamedMeans(["mel"]).update({"mle": torch.tensor(1.0)})


def test_ma_e_is_the_mean_absolute_value_over_all_batches_also_of_bf16():
    ma_e, parts = MeanAbsoluteEmbedding(), [torch.randn(2, 8, 5), torch.randn(3, 8, 5)]
    for part in parts:
        ma_e.update(part)
    torch.testing.assert_close(ma_e.compute(), torch.cat(parts).abs().mean())
    ma_e.reset()
    ma_e.update(torch.full((1, 1000, 100), 0.5, dtype=torch.bfloat16))
    assert ma_e.compute() == 0.5


def test_the_bitrate_counts_frames_not_batches():
    bitrate = Bitrate(frame_rate=50)
    bitrate.update(torch.full((1, 3), 40.0))
    bitrate.update(torch.zeros(1, 1))
    assert bitrate.compute().item() == pytest.approx(30 * 50 / 1000)


def test_usage_and_entropy_are_those_of_the_histogram_of_all_batches():
    codebooks, codes = CodebookUsage(stages=2, size=16), torch.randint(-1, 16, (6, 2, 50))
    for batch in codes.split(2):
        codebooks.update(batch)
    measured = codebooks.compute()
    usage, bits = [], []
    for stage in codes.unbind(1):
        counts = torch.bincount(stage[stage >= 0], minlength=16).double()
        usage.append((counts > 0).double().mean())
        share = counts[counts > 0] / counts.sum()
        bits.append(-(share * share.log2()).sum())
    assert measured["usage"].item() == pytest.approx(torch.stack(usage).mean().item())
    assert measured["entropy_bits"].item() == pytest.approx(torch.stack(bits).mean().item(), rel=1e-5)


def test_evenly_used_codes_have_the_bits_of_the_codebook_and_unsent_ones_none():
    codebooks = CodebookUsage(stages=2, size=1024)
    codebooks.update(torch.stack([torch.arange(1024), torch.full((1024,), -1)])[None])
    measured = codebooks.compute()
    assert measured["entropy_bits"].item() == pytest.approx(math.log2(1024) / 2)
    assert measured["usage"] == 0.5
