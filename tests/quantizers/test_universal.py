"""Universal quantization and soft rounding: closed forms, exchangeability with noise, and files in windows."""

import io

import pytest
import torch
from scipy import stats

from qcodec import AdditiveUniformNoise, DacCodec, ScalarQuantizer, SoftRound, UniversalQuantizer
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.quantizers.position import frames_from
from qcodec.quantizers.soft_round import soft_round, soft_round_inverse, soft_round_mean
from qcodec.quantizers.universal import uniform_of
from qcodec.schedules import Exponential


def test_the_error_is_uniform_whatever_the_value_in_training_and_in_evaluation():
    quantizer = UniversalQuantizer(levels=9, step=0.5)
    for value in (0.0, 0.1, -0.7):
        z = torch.full((1, 30, 3000), value)
        for train in (True, False):
            error = (quantizer.train(train)(z).z_hat - z).flatten() / 0.5 + 0.5
            assert stats.kstest(error, "uniform").pvalue > 1e-3


def test_values_beyond_the_levels_are_drawn_to_them_by_the_commitment_loss():
    z = torch.full((1, 2, 50), 9.0, requires_grad=True)
    output = UniversalQuantizer(levels=4)(z)
    assert output.z_q.max() <= 2
    (gradient,) = torch.autograd.grad(output.losses["commitment"].sum(), z)
    assert (gradient > 0).all()


def lowbias32(x):
    """Mix the bits of an integer, in Python's own."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x ^= x >> shift
        x = x * factor & 0xFFFFFFFF
    return x


def test_the_dither_is_a_hash_of_channel_frame_and_seed():
    found = uniform_of(torch.tensor([[0], [7]]), torch.tensor([0, 5, 2**31]), seed=3)
    for row, channel in enumerate((0, 7)):
        for column, frame in enumerate((0, 5, 2**31)):
            mixed = lowbias32((frame + lowbias32(channel + lowbias32(3))) & 0xFFFFFFFF)
            assert found[row, column].item() == (mixed >> 8) / 2**24 - 0.5


def test_the_dither_of_near_channels_frames_and_seeds_is_unrelated():
    u = torch.stack([uniform_of(torch.arange(8)[:, None], torch.arange(20_000), seed) for seed in (0, 1)])
    rows = torch.cat([u[..., :-1].flatten(0, 1), u[..., 1:].flatten(0, 1)])
    correlation = rows.corrcoef() - torch.eye(len(rows))
    assert correlation.abs().max() < 5 / 20_000**0.5
    assert stats.kstest(u.flatten() + 0.5, "uniform").pvalue > 1e-3


def test_codes_of_a_part_are_those_of_the_whole_where_its_first_frame_is_told():
    quantizer, z = UniversalQuantizer(levels=8).eval(), torch.randn(2, 4, 100)
    whole = quantizer(z)
    with frames_from(40):
        part = quantizer(z[..., 40:60])
        assert torch.equal(quantizer.decode(part.codes), part.z_hat)
    assert torch.equal(part.codes, whole.codes[..., 40:60])
    assert torch.equal(part.z_hat, whole.z_hat[..., 40:60])


@pytest.mark.parametrize("soft", [False, True])
def test_a_file_in_windows_decodes_to_what_the_codec_makes_of_the_whole(soft):
    torch.manual_seed(0)
    quantizer = UniversalQuantizer(levels=8, step=0.25)
    quantizer = SoftRound(quantizer, Exponential(4.0, 0.5)) if soft else quantizer
    codec, audio, file = DacCodec(quantizer, 4, (2, 5), decoder_dim=8), torch.rand(1, 3000) - 0.5, io.BytesIO()
    codec(audio[:, None])
    bitstream = Bitstream(codec.eval(), window=90)
    Encoder(bitstream).encode(recording_of(audio, 16000), file)
    file.seek(0)
    decoded = torch.cat([*Decoder(bitstream).decode(file).blocks], 1)
    torch.testing.assert_close(decoded, codec(audio[:, None]).audio[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.01, 1.0, 7.0])
def test_soft_rounding_is_its_closed_form_with_its_gradients_and_has_an_inverse(alpha):
    x = torch.linspace(-2.3, 2.4, 41, dtype=torch.float64, requires_grad=True)
    middle = x.detach().floor() + 0.5
    expected = middle + 0.5 * torch.tanh(alpha * (x - middle)) / torch.tanh(torch.tensor(alpha / 2).double())
    found = soft_round(x, alpha)
    torch.testing.assert_close(found, expected)
    slope = alpha / 2 / torch.cosh(alpha * (x - middle)) ** 2 / torch.tanh(torch.tensor(alpha / 2).double())
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], slope)
    torch.testing.assert_close(soft_round_inverse(found, alpha), x)


def test_soft_rounding_lies_between_the_identity_and_rounding():
    x = torch.linspace(-2.3, 2.4, 40)
    torch.testing.assert_close(soft_round(x, 1e-3), x)
    apart = (x - x.floor() - 0.5).abs() > 0.05
    torch.testing.assert_close(soft_round(x, 100.0)[apart], x.round()[apart], rtol=0, atol=1e-3)
    assert (soft_round(torch.arange(-3.0, 4), 5.0) == torch.arange(-3.0, 4)).all()


def test_what_is_brought_back_is_the_mean_of_what_could_have_led_to_it():
    x = torch.empty(2_000_000, dtype=torch.float64).uniform_(-3, 3)
    noisy = soft_round(x, 4.0) + torch.rand_like(x) - 0.5
    for y in (-0.4, 0.1, 0.5, 0.9):
        near = x[(noisy - y).abs() < 0.005]
        found = soft_round_mean(torch.tensor(y, dtype=torch.float64), 4.0)
        assert near.mean().item() == pytest.approx(found.item(), abs=5 * near.std().item() / len(near) ** 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("alpha", [1e-6, 5.0, 1e9])
def test_gradients_are_finite_at_levels_between_them_and_beyond_them(alpha, dtype):
    z = torch.tensor([-1.5, 0.0, 0.5, 1.0, 1e4, 0.49]).view(1, 2, 3).to(dtype).requires_grad_()
    output = SoftRound(UniversalQuantizer(), alpha)(z)
    output.z_hat.float().square().sum().backward()
    assert z.grad.isfinite().all()
    assert output.z_hat.isfinite().all()


def test_a_level_stays_one_without_a_dither_and_the_file_depends_on_the_hardness_reached():
    soft = SoftRound(ScalarQuantizer(8, 0.5, AdditiveUniformNoise(0.5)), Exponential(2.0, 0.5))
    z = torch.randn(1, 4, 50)
    identity = soft.decoder_identity()
    soft(z)
    assert soft.decoder_identity() != identity
    output = soft.eval()(z)
    torch.testing.assert_close(output.z_hat, ScalarQuantizer(8, 0.5)(z).z_q)
    assert torch.equal(output.codes, ScalarQuantizer(8, 0.5)(z).codes)


def test_another_quantizer_is_refused_by_name():
    from qcodec import Identity

    with pytest.raises(TypeError, match="quantizer is an Identity: give a LevelQuantizer object"):
        SoftRound(Identity())
