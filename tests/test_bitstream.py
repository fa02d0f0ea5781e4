import io

import numpy as np
import pytest
import torch

from qcodec import DacCodec, ResidualVQ
from qcodec.bitstream.recording import recording_of
from qcodec.bitstream.stream import Bitstream


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny_codec(rates=(2, 5), **settings):
    torch.manual_seed(0)
    quantizer = ResidualVQ(4 * 2 ** len(rates), 3, 32, 4, **settings)
    codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=rates, decoder_dim=8).eval()
    for parameter in codec.parameters():  # weights that make the context matter
        torch.nn.init.normal_(parameter, std=0.5) if parameter.dim() > 1 else None
    return codec


def encoded(codec, audio, **settings):
    file = io.BytesIO()
    header = Bitstream(codec, **settings).encode(recording_of(audio, codec.sample_rate), file)
    return header, file.getvalue()


def decoded(codec, data, **settings):
    return torch.cat(list(Bitstream(codec, **settings).decode(io.BytesIO(data)).blocks), 1)


@pytest.mark.parametrize("rates", [(2, 5), (5, 2), (3, 5), (2, 4), (7,)])
@pytest.mark.parametrize("length", [1, 301, 5990])
def test_codes_and_audio_of_windows_are_those_of_the_whole_clip(rates, length):
    codec, audio = tiny_codec(rates), 0.1 * draw(2, length)
    whole = codec(audio[:, None])
    codes, signals = [], []
    for window in (60, 71, 10**6):
        stream = Bitstream(codec, window=window)
        codes.append(np.concatenate(list(stream._codes([audio], None)), -1))
        _, data = encoded(codec, audio, window=window)
        signals.append(decoded(codec, data, window=window))
    for code, signal in zip(codes, signals, strict=True):
        assert np.array_equal(code, whole.quantized.codes)
        torch.testing.assert_close(signal, whole.audio[:, 0], rtol=0, atol=2e-5)
    assert torch.equal(signals[-1], whole.audio[:, 0])
