"""Try quantizers and gradient estimators on a surrogate neural codec, then train them in a real one.

The names below are imported on first use, so that ``import qcodec`` and ``qcodec --help`` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcodec.api import fit, load_run
    from qcodec.codecs.base import Codec
    from qcodec.codecs.dac.codec import DacCodec, patch_dac
    from qcodec.codecs.dac.weights import export_dac, load_dac
    from qcodec.codecs.surrogate import SurrogateCodec
    from qcodec.quantizers.allocators import AllCodebooks, CodebookDropout, RateAllocator
    from qcodec.quantizers.base import Quantizer, QuantizerOutput
    from qcodec.quantizers.dither import AnnealedDither
    from qcodec.quantizers.estimators import (
        STE,
        DetachedNoiseApproximation,
        GradientEstimator,
        ModifiedSTE,
        NoiseApproximation,
    )
    from qcodec.quantizers.identity import Identity
    from qcodec.quantizers.importance import ImportanceMask
    from qcodec.quantizers.levels import LogUniformLevels, UniformLevels
    from qcodec.quantizers.residual import ResidualVQ
    from qcodec.quantizers.scalar import ScalarQuantizer
    from qcodec.quantizers.vector import VectorStage

_HOME = {
    "AllCodebooks": "qcodec.quantizers.allocators",
    "AnnealedDither": "qcodec.quantizers.dither",
    "Codec": "qcodec.codecs.base",
    "CodebookDropout": "qcodec.quantizers.allocators",
    "DacCodec": "qcodec.codecs.dac.codec",
    "DetachedNoiseApproximation": "qcodec.quantizers.estimators",
    "GradientEstimator": "qcodec.quantizers.estimators",
    "Identity": "qcodec.quantizers.identity",
    "ImportanceMask": "qcodec.quantizers.importance",
    "LogUniformLevels": "qcodec.quantizers.levels",
    "ModifiedSTE": "qcodec.quantizers.estimators",
    "NoiseApproximation": "qcodec.quantizers.estimators",
    "Quantizer": "qcodec.quantizers.base",
    "QuantizerOutput": "qcodec.quantizers.base",
    "RateAllocator": "qcodec.quantizers.allocators",
    "ResidualVQ": "qcodec.quantizers.residual",
    "STE": "qcodec.quantizers.estimators",
    "ScalarQuantizer": "qcodec.quantizers.scalar",
    "SurrogateCodec": "qcodec.codecs.surrogate",
    "UniformLevels": "qcodec.quantizers.levels",
    "VectorStage": "qcodec.quantizers.vector",
    "export_dac": "qcodec.codecs.dac.weights",
    "fit": "qcodec.api",
    "load_dac": "qcodec.codecs.dac.weights",
    "load_run": "qcodec.api",
    "patch_dac": "qcodec.codecs.dac.codec",
}

__all__ = [
    "STE",
    "AllCodebooks",
    "AnnealedDither",
    "CodebookDropout",
    "Codec",
    "DacCodec",
    "DetachedNoiseApproximation",
    "GradientEstimator",
    "Identity",
    "ImportanceMask",
    "LogUniformLevels",
    "ModifiedSTE",
    "NoiseApproximation",
    "Quantizer",
    "QuantizerOutput",
    "RateAllocator",
    "ResidualVQ",
    "ScalarQuantizer",
    "SurrogateCodec",
    "UniformLevels",
    "VectorStage",
    "export_dac",
    "fit",
    "load_dac",
    "load_run",
    "patch_dac",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qcodec' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
