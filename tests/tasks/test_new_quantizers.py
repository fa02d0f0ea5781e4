"""Estimators of both families, the EMA codebook and FSQ: on the surrogate, in a small DAC, and in a file and back."""

import io

import pytest
import torch
from audio_runs import LOSSES
from audio_runs import fit as fit_audio
from surrogate_runs import CL, fit

from qcodec import (
    FSQ,
    NSVQ,
    SPIGOT,
    ZGR,
    AdditiveUniformNoise,
    DacCodec,
    DetachedDiVeQ,
    DiVeQ,
    EMACodebook,
    FactorizedVQ,
    GumbelSoftmax,
    LearnedCodebook,
    ModifiedSTE,
    ReinMax,
    ResidualVQ,
    RotationTrick,
    ScalarQuantizer,
    SoftToHard,
    StochasticSTE,
    StraightThroughGumbel,
)
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.losses.weights import LossWeights
from qcodec.schedules import Exponential
from qcodec.tasks.audio import AudioTask
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System


def residual(dim, codebook, estimator):
    return ResidualVQ([FactorizedVQ(dim, codebook(), estimator()) for _ in range(2)])


QUANTIZERS = {
    "scalar_diveq": lambda dim: ScalarQuantizer(estimator=DiVeQ()),
    "scalar_gumbel": lambda dim: ScalarQuantizer(estimator=GumbelSoftmax(0.5, sharpness=4.0)),
    "residual_diveq": lambda dim: residual(dim, lambda: LearnedCodebook(16, 4), DiVeQ),
    "residual_gumbel": lambda dim: residual(dim, lambda: LearnedCodebook(16, 4), GumbelSoftmax),
    "residual_ema": lambda dim: residual(dim, lambda: EMACodebook(16, 4, decay=0.9), ModifiedSTE),
    "fsq": lambda dim: FSQ((8, 5, 5, 5, 4) * 6 if dim == 30 else (8, 5) * (dim // 2)),
}
LEARNED = ("residual_diveq", "residual_gumbel")


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_fit_of_the_surrogate_learns_and_its_seeds_start_apart(name):
    losses = LossWeights(codebook=1.0, commitment=0.1) if name in LEARNED else CL
    task = SurrogateTask({name: System(QUANTIZERS[name](30), LossWeights() if name == "fsq" else losses)}, seeds=2)
    before = task.systems[name].quantizers[0].state_dict()
    before = {key: value.clone() for key, value in before.items()}
    logged = fit(task, updates=60, frames=100).logged_metrics
    assert 0 < logged[f"mse/{name}"] < 2
    assert logged[f"diverged_at/{name}"].isnan()
    for key, value in task.systems[name].quantizers[0].state_dict().items():
        assert not torch.equal(value, before[key]), f"{key} learned nothing"
    if len(task.systems[name].quantizers) == 2:
        first, second = (quantizer.state_dict() for quantizer in task.systems[name].quantizers)
        assert all(not torch.equal(first[key], second[key]) for key in first if not key.endswith("bias"))


def test_every_estimator_trains_the_surrogate_side_by_side_with_the_others():
    fading = Exponential(1.0, 0.9)
    estimators = [NSVQ(), DetachedDiVeQ(), RotationTrick(), AdditiveUniformNoise(), StraightThroughGumbel(0.5, 4.0)]
    estimators += [ReinMax(fading, 4.0), ZGR(4.0), SPIGOT(), SoftToHard(fading), StochasticSTE(8.0)]
    systems = {type(each).__name__: System(ScalarQuantizer(estimator=each), CL) for each in estimators}
    task = SurrogateTask(systems, seeds=2)
    logged = fit(task, updates=20, frames=50).logged_metrics
    for name in systems:
        assert 0 < logged[f"mse/{name}"] < 2
        assert logged[f"diverged_at/{name}"].isnan()
    for name, count in (("ReinMax", 2), ("SoftToHard", 2), ("SPIGOT", 1)):
        assert len(task.systems[name].quantizers) == count, "seeds share a quantizer where nothing follows a schedule"
    assert task.systems["ReinMax"].quantizers[1].estimator.updates_done == 20


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_small_dac_trains_and_its_files_decode_to_its_own_output(name):
    torch.manual_seed(0)
    codec = DacCodec(QUANTIZERS[name](16), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    losses = LOSSES if name in LEARNED else LossWeights(mel=15.0, commitment=0.0 if name == "fsq" else 0.25)
    task = AudioTask(codec, losses)
    fit_audio(task, updates=4)
    assert all(value.isfinite().all() for value in codec.state_dict().values())
    codec.eval()
    audio, file = 0.1 * torch.randn(2, 2011, generator=torch.Generator().manual_seed(0)), io.BytesIO()
    bitstream = Bitstream(codec)
    header = Encoder(bitstream).encode(recording_of(audio, 16000), file)
    reported = codec(audio[:, None]).quantized.bits.sum().item()
    assert file.tell() * 8 == pytest.approx(reported, rel=0.02, abs=8 * 700)
    assert header.code_sizes == codec.quantizer.code_sizes(codec.channels)
    file.seek(0)
    decoded = torch.cat([*Decoder(bitstream).decode(file).blocks], 1)
    torch.testing.assert_close(decoded, codec(audio[:, None]).audio[:, 0].detach(), rtol=0, atol=2e-5)
    assert torch.equal(codec.decode(codec.encode(audio[:, None]))[..., :2011], codec(audio[:, None]).audio.detach())
