import pytest

from qcodec import STE, DacCodec
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
