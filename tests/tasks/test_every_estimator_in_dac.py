"""A small DAC with every estimator that the package has, and its file."""

import io
import math
from inspect import isabstract

import pytest
import torch
from audio_runs import LOSSES, fit

import qcodec
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.callbacks.divergence import DivergenceGuard
from qcodec.tasks.audio import AudioTask

CLASSES = [getattr(qcodec, name) for name in qcodec.__all__]
ESTIMATORS = [c for c in CLASSES if isinstance(c, type) and issubclass(c, qcodec.Estimator) and not isabstract(c)]


@pytest.mark.slow
@pytest.mark.parametrize("make", ESTIMATORS)
def test_a_hundred_updates_leave_a_codec_whose_files_decode_to_its_own_output(make):
    torch.manual_seed(0)
    quantizer = qcodec.residual_vq(16, 2, 32, 4, qcodec.CodebookDropout(0.5), make())
    codec = qcodec.DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    guard = DivergenceGuard()
    trainer = fit(AudioTask(codec, LOSSES), updates=100, callbacks=[guard])
    assert trainer.global_step == 100
    assert guard.state_dict()["diverged_at"] == math.inf
    assert all(value.isfinite().all() for value in codec.state_dict().values())
    audio, file = 0.1 * torch.randn(1, 2011), io.BytesIO()
    Encoder(Bitstream(codec.eval())).encode(recording_of(audio, 16000), file)
    file.seek(0)
    decoded = torch.cat([*Decoder(Bitstream(codec)).decode(file).blocks], 1)
    torch.testing.assert_close(decoded, codec(audio[:, None]).audio[:, 0].detach(), rtol=0, atol=2e-5)
