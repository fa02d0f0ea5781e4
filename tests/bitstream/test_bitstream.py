import dataclasses
import io

import numpy as np
import pytest
import torch

from qcodec import DacCodec, Identity, ImportanceMask, residual_vq
from qcodec.audio.loudness import integrated_loudness
from qcodec.audio.reading import recording_of, resampled
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.container import CHUNK_FRAMES, CHUNK_HEAD
from qcodec.bitstream.dac.convert import decode_dac, encode_dac
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.header import header_bytes
from qcodec.bitstream.settings import Settings
from qcodec.bitstream.tables import Tables, fit_tables
from qcodec.quantizers.allocators import Allocation, RateAllocator


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny_codec(rates=(2, 5), allocator=None, stages=3):
    torch.manual_seed(0)
    quantizer = residual_vq(4 * 2 ** len(rates), stages, 32, 4, allocator=allocator)
    codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=rates, decoder_dim=8).eval()
    for parameter in codec.parameters():  # weights under which the context matters
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    return codec


def variable_codec(stages=8):
    codec = tiny_codec(allocator=ImportanceMask(channels=16, widths=(8,)), stages=stages)
    for layer in codec.quantizer.allocator.subnet[1::2]:
        torch.nn.init.constant_(layer.weight_g, 10.0)  # importance differs between frames
    return codec


def encoded(codec, audio, settings=None, **options):
    file = io.BytesIO()
    header = Encoder(Bitstream(codec, **options)).encode(recording_of(audio, codec.sample_rate), file, settings)
    return header, file.getvalue()


def decoded(codec, data, **options):
    return torch.cat(list(Decoder(Bitstream(codec, **options)).decode(io.BytesIO(data)).blocks), 1)


def payload_bits(header, data):
    return 8 * (len(data) - len(header_bytes(header)))


@pytest.mark.parametrize("rates", [(2, 5), (5, 2), (3, 5), (2, 4), (7,)])
@pytest.mark.parametrize("length", [1, 301, 5990])
def test_codes_and_audio_of_windows_are_those_of_the_whole_clip(rates, length):
    codec, audio = tiny_codec(rates), 0.1 * draw(2, length)
    whole = codec(audio[:, None])
    for window in (60, 71, 10**6):
        codes = np.concatenate(list(Encoder(Bitstream(codec, window=window)).codes([audio], None)), -1)
        signal = decoded(codec, encoded(codec, audio, window=window)[1], window=window)
        assert np.array_equal(codes, whole.quantized.codes)
        torch.testing.assert_close(signal, whole.audio[:, 0], rtol=0, atol=2e-5)
    assert torch.equal(signal, whole.audio[:, 0]), "a clip within a window passes the network as a whole"


def test_codes_do_not_depend_on_the_blocks_that_audio_is_read_in():
    codec, audio = tiny_codec(), 0.1 * draw(1, 5003)
    whole = recording_of(audio, 16000)
    data = set()
    for size in (1, 77, 4096, 5003):
        file = io.BytesIO()
        parts = dataclasses.replace(whole, blocks=lambda size=size: audio.split(size, 1))
        Encoder(Bitstream(codec, window=60)).encode(parts, file)
        data.add(file.getvalue())
    assert len(data) == 1


@pytest.mark.parametrize("level", [0.3, 1.0, 2.5, None])
def test_variable_depth_decodes_to_the_audio_of_the_models_own_forward(level):
    codec, audio = variable_codec(), 0.1 * draw(2, 3007)
    whole = codec(audio[:, None], level=level)
    depth = (whole.quantized.codes >= 0).sum(1)
    assert level is None or depth.min() < depth.max(), "the depth varies, or nothing is tested"
    _, data = encoded(codec, audio, Settings(level))
    assert torch.equal(
        decoded(codec, data, window=10**6)[:, :3007], codec.synthesize(whole.quantized.z_hat)[:, 0, :3007]
    )
    torch.testing.assert_close(decoded(codec, data), whole.audio[:, 0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("stages", range(1, 9))
def test_a_model_of_variable_rate_serves_every_constant_rate(stages):
    codec, audio = variable_codec(), 0.1 * draw(1, 999)
    codec.quantizer = codec.quantizer.with_allocator(tiny_codec().quantizer.allocator)
    header, data = encoded(codec, audio, Settings(stages))
    assert (len(header.code_sizes), header.depth) == (stages, "constant")
    torch.testing.assert_close(decoded(variable_codec(), data), codec(audio[:, None], level=stages).audio[:, 0])


@pytest.mark.parametrize("make", [tiny_codec, variable_codec])
def test_a_file_is_as_large_as_its_reported_bits_and_its_header(make):
    codec, audio = make(), 0.1 * draw(1, 60_000)
    header, data = encoded(codec, audio)
    reported = codec(audio[:, None]).quantized.bits.sum().item()
    assert payload_bits(header, data) == pytest.approx(reported, rel=0.01)
    assert len(header_bytes(header)) < 600


@pytest.mark.parametrize("kbps", [14.0, 33.3, 60.0])
def test_a_rate_is_met_from_below_and_by_the_level_that_the_header_names(kbps):
    codec, audio = variable_codec(), 0.1 * draw(2, 8000)
    header, data = encoded(codec, audio, Settings(kbps=2 * kbps))
    reached = payload_bits(header, data) / header.seconds / 1000
    assert 2 * kbps * 0.98 < reached <= 2 * kbps
    again = encoded(codec, audio, Settings(header.level))[1]
    assert again[-payload_bits(header, data) // 8 :] == data[-payload_bits(header, data) // 8 :]


def test_a_constant_rate_takes_the_most_codebooks_that_fit():
    codec, audio = tiny_codec(), 0.1 * draw(1, 16000)  # 1600 frames a second, 8 kbps a codebook
    levels = [encoded(codec, audio, Settings(kbps=kbps))[0].level for kbps in (8.3, 15.9, 16.3, 1000.0)]
    assert levels == [1, 1, 2, 3]


def test_a_rate_that_cannot_be_met_is_an_error_and_one_beyond_all_stages_takes_them_all():
    audio = 0.01 * draw(1, 8000)
    for codec in (tiny_codec(), variable_codec()):
        with pytest.raises(ValueError, match=r"the lowest rate takes .* times the rate asked for"):
            encoded(codec, audio, Settings(kbps=0.5))
        header, _ = encoded(codec, audio, Settings(kbps=1e6))
        whole = codec(audio[None], level=header.level)
        assert (whole.quantized.codes >= 0).all()


@pytest.mark.parametrize("make", [tiny_codec, variable_codec])
def test_a_recording_that_is_analysed_once_is_sent_as_it_would_be_encoded_at_each_level(make, tmp_path):
    codec, audio = make(), 0.1 * draw(2, 3000)
    with open(tmp_path / "part", "w+b") as part:
        analysed = Encoder(Bitstream(codec)).analyse(recording_of(audio, 16000), part, loudness=-20.0)
        for level in (1.0, 3.0, None, 2.0):
            file = io.BytesIO()
            Encoder(Bitstream(codec)).send(analysed, file, level)
            assert file.getvalue() == encoded(codec, audio, Settings(level, loudness=-20.0))[1]


class FirstStages(RateAllocator):
    """Sends the first ``level`` stages, and one more of some frames if there are bursts."""

    def __init__(self, bursts=False):
        super().__init__()
        self.bursts = self.per_frame = bursts

    def forward(self, z, stages, *, features=None, level=None):
        depth = torch.full(z.shape[::2], int(level or 1))
        depth[:, 3:5] += self.bursts
        mask = (torch.arange(stages)[:, None] < depth[:, None]).to(z)
        return Allocation(mask, stages)


@pytest.mark.parametrize("level", [1, 2])
def test_an_allocator_pays_for_depths_only_where_it_says_that_they_differ(level):
    audio = 0.1 * draw(1, 8000)
    for bursts in (False, True):
        codec = tiny_codec(allocator=FirstStages(bursts))
        header, data = encoded(codec, audio, Settings(level))
        assert (header.depth, len(header.code_sizes)) == (("coded", 3) if bursts else ("constant", level))
        whole = codec(audio[None], level=level)
        torch.testing.assert_close(decoded(codec, data), whole.audio[:, 0], rtol=0, atol=2e-5)
        assert bursts or payload_bits(header, data) - whole.quantized.bits.sum() <= 8 * CHUNK_HEAD.size + 64
        with pytest.raises(ValueError, match="FirstStages names no levels to search for a rate: give a level"):
            encoded(codec, audio, Settings(kbps=10))


class ChannelsApart(RateAllocator):
    """Sends more of one channel than of the other, or of one frame than of the others, and does not say so."""

    per_frame = False

    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def forward(self, z, stages, *, features=None, level=None):
        depth = torch.ones(z.shape[::2])
        depth.movedim(self.axis, 0)[-1] += 1
        return Allocation((torch.arange(stages)[:, None] < depth[:, None]).to(z), stages)


@pytest.mark.parametrize("axis", [0, 1])
def test_depths_that_differ_are_refused_where_the_allocator_says_they_do_not(axis):
    with pytest.raises(ValueError, match="ChannelsApart sends different numbers of codes in one recording"):
        encoded(tiny_codec(allocator=ChannelsApart(axis)), 0.1 * draw(2, 800))


def test_loudness_is_brought_to_the_models_and_back_with_the_balance_of_channels_kept():
    codec = tiny_codec()
    audio = 0.02 * draw(2, 16000) * torch.tensor([[1.0], [0.25]])
    header, data = encoded(codec, audio, Settings(loudness=-16.0))
    gain = 10 ** (header.gain_db / 20)
    assert integrated_loudness(gain * audio[None], 16000).item() == pytest.approx(-16, abs=0.01)
    torch.testing.assert_close(decoded(codec, data), codec(gain * audio[:, None]).audio[:, 0] / gain, rtol=0, atol=2e-5)


def test_loudness_stops_below_clipping_and_leaves_silence_alone():
    peaked = 1e-3 * draw(1, 16000)
    peaked[0, 100] = 0.5
    header, _ = encoded(tiny_codec(), peaked, Settings(loudness=-1.0))
    assert header.gain_db == pytest.approx(20 * np.log10(2))
    assert encoded(tiny_codec(), torch.zeros(1, 16000), Settings(loudness=-16.0))[0].gain_db == 0


def test_long_recordings_are_written_in_chunks():
    codec, audio = tiny_codec((2, 2)), 0.1 * draw(1, 4 * CHUNK_FRAMES * 2 + 3)
    header, data = encoded(codec, audio)
    bits = header.frames * 15
    assert payload_bits(header, data) - bits <= 3 * (8 * CHUNK_HEAD.size + 64)
    torch.testing.assert_close(decoded(codec, data), codec(audio[:, None]).audio[:, 0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("make", [tiny_codec, variable_codec])
def test_fitted_tables_make_files_smaller_and_are_asked_for_in_decoding(make):
    codec, audio = make(), 0.1 * draw(1, 30_000)
    bitstream, level = Bitstream(codec), 1
    codes = Encoder(bitstream).codes([audio], level)
    tables = fit_tables(codes, bitstream.sizes, bitstream.per_frame)
    (plain_header, plain), (header, fitted) = (
        encoded(codec, audio, Settings(level), tables=tables) for tables in (None, tables)
    )
    assert payload_bits(header, fitted) < 0.9 * payload_bits(plain_header, plain)
    assert torch.equal(decoded(codec, fitted, tables=tables), decoded(codec, plain, tables=tables))
    with pytest.raises(ValueError, match="coded with tables that this model file does not hold"):
        decoded(codec, fitted)


def test_the_fingerprint_is_that_of_what_decodes():
    codec, audio = tiny_codec(), 0.1 * draw(1, 100)
    _, data = encoded(codec, audio)
    with torch.no_grad():
        codec.encoder.block[0].weight_g.mul_(2)
        codec.quantizer.quantizers[0].in_proj.bias.add_(1)
    decoded(codec, data)
    with torch.no_grad():
        codec.quantizer.quantizers[2].codebook.weight[0, 0] += 1e-6
    with pytest.raises(ValueError, match=r"was encoded with model \w+, and this is \w+: give its checkpoint"):
        decoded(codec, data)


@pytest.mark.parametrize(("rate", "wanted"), [(44100, 16000), (16000, 44100), (8000, 48000), (48000, 16000)])
def test_resampling_in_blocks_is_resampling_at_once_with_its_length_rounded_up(rate, wanted):
    audio = draw(2, 5003)
    parts = torch.cat(list(resampled(audio.split(700, 1), rate, wanted)), 1)
    assert parts.shape[1] == -(-5003 * wanted // rate)
    torch.testing.assert_close(parts, torch.cat(list(resampled([audio], rate, wanted)), 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Settings(level=1, kbps=6), "level=1 and kbps=6 both decide the rate: give one"),
        (lambda: Settings(kbps=0), "kbps=0 is no rate"),
        (lambda: Settings(loudness=3), "loudness=3 is none in LUFS"),
        (lambda: recording_of(draw(100), 16000), r"audio of shape \(C, L\), not torch.float32 of \(100,\)"),
        (lambda: encoded(tiny_codec(), draw(1, 100), Settings(4)), "level=4 is no number of stages"),
        (lambda: encoded(variable_codec(), draw(1, 100), Settings(-1.0)), "level=-1.0 is no rate level"),
        (lambda: encoded(tiny_codec(), draw(256, 10)), "256 channels are more than 255"),
        (lambda: Bitstream(tiny_codec(), window=20), "a window of 20 frames is all context: give more than 32"),
        (
            lambda: Bitstream(DacCodec(Identity(), 4, (2, 4), None, 8)),
            "Identity has 16 codes a frame of up to 4294",
        ),
        (
            lambda: Bitstream(tiny_codec(), Tables((np.ones(32, int),) * 2, None)),
            "the tables of 2 codes are not of this model",
        ),
        (lambda: Tables((np.zeros(32, int),) * 2, None), r"whole frequencies from 1 to 2\^31 - 1"),
        (lambda: Tables((np.ones(32, int),) * 2, np.ones((2, 2), int)), "are none of codes and depths"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(params=["tf32", "ieee"])
def chosen(request):
    """Choose the precision of convolutions alone, as a user may."""
    convolutions = torch.backends.cudnn.conv
    before, convolutions.fp32_precision = convolutions.fp32_precision, request.param
    yield request.param
    convolutions.fp32_precision = before


def test_codes_are_found_and_decoded_without_tf32_and_the_setting_is_restored(monkeypatch, chosen):
    codec, audio, seen = tiny_codec(), 0.1 * draw(1, 400), []
    for name in ("embed", "synthesize"):
        inner = getattr(codec, name)

        def watched(x, inner=inner):
            seen.append(torch.backends.cudnn.allow_tf32)
            return inner(x)

        monkeypatch.setattr(codec, name, watched)
    decoded(codec, encoded(codec, audio)[1])
    codec.decode(codec.encode(audio[:, None]))
    bitstream = Bitstream(codec)
    decode_dac(codec, encode_dac(bitstream, recording_of(audio, codec.sample_rate), io.BytesIO(), Settings()))
    list(Encoder(bitstream).blocks([audio], []))
    assert seen == [False] * 7
    assert torch.backends.cudnn.conv.fp32_precision == chosen
    assert torch.backends.cudnn.rnn.fp32_precision == "tf32"
