import math

import pytest
import torch
from audio_runs import batch, make_codec

from qcodec import DacCodec, Identity, ScalarQuantizer
from qcodec.codecs.base import AudioOutput
from qcodec.metrics.bitrate import Bitrate
from qcodec.metrics.built_in import built_in
from qcodec.metrics.codebook_usage import CodebookUsage
from qcodec.metrics.ma_e import MeanAbsoluteEmbedding
from qcodec.metrics.ma_e_projected import MeanAbsoluteLatents
from qcodec.metrics.window import MetricWindow
from qcodec.quantizers.base import QuantizerOutput
from qcodec.quantizers.dither import AnnealedDither

AUDIO = torch.zeros(1, 1, 10)


def output(z=None, codes=None, bits=None, latents=None):
    """Return an output of which only what is given means anything."""
    if codes is None:
        codes = torch.zeros(1, 1, 1 if z is None else z.shape[2], dtype=torch.int64)
    z = torch.zeros(1, 1, codes.shape[2]) if z is None else z
    return AudioOutput(AUDIO, z, QuantizerOutput(z, codes, bits, {}, z, latents))


def codec_with(quantizer):
    return DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)


def named(metric):
    values = metric.compute()
    return values.values() if isinstance(values, dict) else [values]


def names(codec):
    return [described.name for metric in built_in(codec) for described in metric.descriptions]


@pytest.mark.parametrize(("metric", "of"), [(MeanAbsoluteEmbedding, "z"), (MeanAbsoluteLatents, "latents")])
def test_ma_e_is_the_mean_absolute_value_over_all_batches_also_of_bf16(metric, of):
    ma_e, parts = metric(), [torch.randn(2, 8, 5), torch.randn(3, 8, 5)]
    for part in parts:
        ma_e.update(output(**{of: part}), AUDIO)
    (value,) = named(ma_e)
    torch.testing.assert_close(value, torch.cat(parts).abs().mean())
    ma_e = metric()
    ma_e.update(output(**{of: torch.full((1, 1000, 100), 0.5, dtype=torch.bfloat16)}), AUDIO)
    (value,) = named(ma_e)
    assert value == 0.5


def test_a_quantizer_that_looks_codes_up_in_the_embedding_has_no_projected_one():
    metric = MeanAbsoluteLatents()
    metric.update(output(), AUDIO)
    assert metric.compute() == {}


def test_the_bitrate_counts_frames_not_batches():
    bitrate = Bitrate(frame_rate=50)
    bitrate.update(output(bits=torch.full((1, 3), 40.0)), AUDIO)
    bitrate.update(output(bits=torch.zeros(1, 1)), AUDIO)
    assert bitrate.compute().item() == pytest.approx(30 * 50 / 1000)


@pytest.mark.parametrize("sizes", [(16, 16), (4, 16, 3)])
def test_usage_and_entropy_are_those_of_the_histogram_of_all_batches(sizes):
    metric = CodebookUsage(sizes)
    codes = torch.stack([torch.randint(-1, size, (6, 50)) for size in sizes], 1)
    for part in codes.split(2):
        metric.update(output(codes=part), AUDIO)
    measured = metric.compute()
    usage, bits = [], []
    for code, size in zip(codes.unbind(1), sizes, strict=True):
        counts = torch.bincount(code[code >= 0], minlength=size).double()
        usage.append((counts > 0).double().mean())
        share = counts[counts > 0] / counts.sum()
        bits.append(-(share * share.log2()).sum())
    assert measured["codebook_usage"].item() == pytest.approx(torch.stack(usage).mean().item())
    assert measured["codebook_entropy_bits"].item() == pytest.approx(torch.stack(bits).mean().item(), rel=1e-5)


def test_evenly_used_codes_have_the_bits_of_the_codebook_and_unsent_ones_none():
    metric = CodebookUsage((1024, 1024))
    metric.update(output(codes=torch.stack([torch.arange(1024), torch.full((1024,), -1)])[None]), AUDIO)
    measured = metric.compute()
    assert measured["codebook_entropy_bits"].item() == pytest.approx(math.log2(1024) / 2)
    assert measured["codebook_usage"] == 0.5


def test_usage_is_measured_of_any_quantizer_that_states_the_sizes_of_its_codes_also_of_a_wrapped_one():
    for quantizer in (make_codec().quantizer, ScalarQuantizer(), AnnealedDither(make_codec().quantizer, 0.3, 10)):
        codec = codec_with(quantizer)
        assert names(codec) == ["ma_e", "kbps", "ma_e_projected", "codebook_usage", "codebook_entropy_bits"]
        window = MetricWindow(built_in(codec), ["mel"])
        window.update(codec(batch(0)), batch(0), {"mel": torch.tensor(1.0)})
        assert 0 < window.compute()["codebook_usage"] <= 1


def test_codes_of_too_many_symbols_are_not_counted():
    assert names(codec_with(Identity())) == ["ma_e", "kbps", "ma_e_projected"]
