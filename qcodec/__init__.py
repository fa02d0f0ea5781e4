"""Try quantizers and gradient estimators on a surrogate neural codec, then train them in a real one.

The names below are imported on first use, so that ``import qcodec`` and ``qcodec --help`` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcodec.codecs.base import Codec
    from qcodec.codecs.surrogate import SurrogateCodec
    from qcodec.quantizers.base import Quantizer, QuantizerOutput
    from qcodec.quantizers.estimators import (
        STE,
        DetachedNoiseApproximation,
        GradientEstimator,
        ModifiedSTE,
        NoiseApproximation,
    )
    from qcodec.quantizers.identity import Identity
    from qcodec.quantizers.scalar import ScalarQuantizer

_HOME = {
    "Codec": "qcodec.codecs.base",
    "DetachedNoiseApproximation": "qcodec.quantizers.estimators",
    "GradientEstimator": "qcodec.quantizers.estimators",
    "Identity": "qcodec.quantizers.identity",
    "ModifiedSTE": "qcodec.quantizers.estimators",
    "NoiseApproximation": "qcodec.quantizers.estimators",
    "Quantizer": "qcodec.quantizers.base",
    "QuantizerOutput": "qcodec.quantizers.base",
    "STE": "qcodec.quantizers.estimators",
    "ScalarQuantizer": "qcodec.quantizers.scalar",
    "SurrogateCodec": "qcodec.codecs.surrogate",
}

__all__ = [
    "STE",
    "Codec",
    "DetachedNoiseApproximation",
    "GradientEstimator",
    "Identity",
    "ModifiedSTE",
    "NoiseApproximation",
    "Quantizer",
    "QuantizerOutput",
    "ScalarQuantizer",
    "SurrogateCodec",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qcodec' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
