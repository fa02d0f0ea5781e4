import pytest
import torch

from qcodec import (
    FSQ,
    STE,
    AnnealedDither,
    AroundQuantizer,
    AroundStage,
    DacCodec,
    FactorizedVQ,
    GumbelSoftmax,
    LearnedCodebook,
    ResidualVQ,
    ScalarQuantizer,
    VectorQuantizer,
    residual_vq,
)
from qcodec.codecs.base import AudioCodec
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.estimators import GradientEstimator


def test_an_object_of_the_class_or_of_a_subclass_passes():
    check_is(STE(), GradientEstimator, "estimator")


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ({}, GradientEstimator, "it is a dict: give a GradientEstimator object"),
        (None, AudioCodec, "it is None: give an AudioCodec object"),
        (3, AudioCodec, "it is an int: give an AudioCodec object"),
        (STE, GradientEstimator, r"it is the class STE: give an object, STE\(\.\.\.\)"),
        (DacCodec, GradientEstimator, "it is the class DacCodec: give a GradientEstimator object"),
    ],
)
def test_what_is_none_is_named_with_its_remedy(value, kind, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        check_is(value, kind, "it")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScalarQuantizer(estimator=STE), "estimator is the class STE: give an object, STE"),
        (lambda: FSQ(5, GumbelSoftmax()), "estimator is a GumbelSoftmax: give a GradientEstimator object"),
        (lambda: AroundQuantizer(FSQ(5), GumbelSoftmax()), "estimator is a GumbelSoftmax: give a GradientEstimator"),
        (lambda: AroundStage(FSQ(5), STE()), "stage is a FSQ: give a FrameQuantizer object"),
        (lambda: VectorQuantizer(LearnedCodebook), "codebook is the class LearnedCodebook: give "),
        (lambda: FactorizedVQ(8, {}), "codebook is a dict: give a Codebook object"),
        (lambda: ResidualVQ([VectorQuantizer]), r"stages\[0\] is the class VectorQuantizer: give "),
        (lambda: residual_vq(8, 2, 16, 4, allocator={}), "allocator is a dict: give a RateAllocator object"),
        (lambda: AnnealedDither(ScalarQuantizer, 0.1, 3), "quantizer is the class ScalarQuantizer: give "),
        (lambda: DacCodec(ScalarQuantizer), "quantizer is the class ScalarQuantizer: give "),
        (lambda: tiny().decode(tiny()(torch.zeros(1, 1, 8))), "codes is an AudioOutput: give a Tensor object"),
    ],
)
def test_an_object_in_the_place_of_another_is_named_where_it_is_handed_over(make, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        make()


def tiny():
    return DacCodec(ScalarQuantizer(), encoder_dim=4, encoder_rates=(4,), decoder_dim=8)
