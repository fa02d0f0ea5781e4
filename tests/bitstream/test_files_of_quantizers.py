"""Each kind of quantizer writes a file in DAC, and reads it back."""

import io

import pytest
import torch

from qcodec import (
    BSQ,
    FSQ,
    LFQ,
    STE,
    AdditiveUniformNoise,
    AnnealedDither,
    AroundQuantizer,
    AroundStage,
    Bounded,
    DacCodec,
    Dropout,
    EMACodebook,
    FactorizedVQ,
    FixedCodebook,
    KMeansStart,
    LayeredQuantizer,
    LayerNorm,
    LearnedCodebook,
    ModifiedSTE,
    NoGradient,
    ProductQuantizer,
    ProjectedQuantizer,
    ProjectedStage,
    ResidualVQ,
    ScalarQuantizer,
    SimVQCodebook,
    SoftRound,
    UniversalQuantizer,
    VectorQuantizePytorch,
    VectorQuantizer,
    Whitening,
    product_vq,
    residual_fsq,
    residual_vq,
)
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.settings import Settings
from qcodec.schedules import Linear

QUANTIZERS = {
    "scalar": lambda: ScalarQuantizer(5, 0.5),
    "universal": lambda: UniversalQuantizer(8, 0.25),
    "soft_round": lambda: SoftRound(ScalarQuantizer(5, 0.5, AdditiveUniformNoise(0.5)), Linear(1.0, 9.0, 4)),
    "dither": lambda: AnnealedDither(ScalarQuantizer(5, 0.5), std=0.3, updates=10),
    "layered": lambda: LayeredQuantizer(ScalarQuantizer(5, 0.5), before=[LayerNorm(), Bounded(1.0)], after=[Dropout()]),
    "whitened": lambda: LayeredQuantizer(
        product_vq(16, 4, LearnedCodebook(32, 4)), before=[Whitening(16)], after=[LayerNorm()]
    ),
    "around": lambda: AroundQuantizer(residual_vq(16, 2, 32, 4, estimator=NoGradient()), ModifiedSTE()),
    "around_stage": lambda: ResidualVQ([AroundStage(FactorizedVQ(16, LearnedCodebook(32, 4), NoGradient()), STE())]),
    "fsq": lambda: FSQ(8),
    "fixed": lambda: VectorQuantizer(FixedCodebook(32, 16)),
    "simvq": lambda: ResidualVQ([FactorizedVQ(16, SimVQCodebook(32, 4)) for _ in range(2)]),
    "kmeans": lambda: VectorQuantizer(KMeansStart(EMACodebook(32, 16))),
    "lfq": lambda: LFQ(16),
    "bsq": lambda: ResidualVQ([ProjectedStage(16, BSQ(6)) for _ in range(2)]),
    "residual_fsq": lambda: ProjectedQuantizer(16, 3, residual_fsq((8, 5, 5), 3)),
    "grouped": lambda: ProductQuantizer(16, [residual_vq(8, 2, 32, 4) for _ in range(2)]),
    "external": lambda: VectorQuantizePytorch(
        "ResidualVQ", {"dim": 16, "codebook_size": 32, "num_quantizers": 2, "rotation_trick": False}
    ),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_file_decodes_to_what_the_codec_makes_of_the_audio(name):
    if name == "external":
        pytest.importorskip("vector_quantize_pytorch", reason="needs the package vector-quantize-pytorch")
    torch.manual_seed(0)
    codec = DacCodec(QUANTIZERS[name](), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    audio = 0.1 * torch.randn(1, 1500)
    training = codec(audio[:, None])  # a start on k-means is one of training
    torch.autograd.backward(
        [training.audio.square().mean(), *(loss.mean() for loss in training.quantized.losses.values())]
    )
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in codec.parameters())
    codec.eval()
    file = io.BytesIO()
    Encoder(Bitstream(codec)).encode(recording_of(audio, codec.sample_rate), file, Settings())
    found = torch.cat(list(Decoder(Bitstream(codec)).decode(io.BytesIO(file.getvalue())).blocks), 1)
    expected = codec(audio[:, None])
    assert codec.decode(expected.quantized.codes).shape == expected.audio.shape
    torch.testing.assert_close(found, expected.audio[:, 0], rtol=0, atol=1e-5)
