"""Try quantizers and gradient estimators on a surrogate neural codec, then train them in a real one.

The names below are imported on first use, so that ``import qcodec`` and ``qcodec --help`` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcodec.api import fit, load_run
    from qcodec.codecs.base import AudioCodec, Codec, Embedding
    from qcodec.codecs.dac.codec import DacCodec, patch_dac
    from qcodec.codecs.dac.weights import export_dac, load_dac
    from qcodec.codecs.surrogate import SurrogateCodec
    from qcodec.evaluation.file_codec import CodedFile, FileCodec
    from qcodec.quantizers.additive_noise import AdditiveUniformNoise
    from qcodec.quantizers.allocators import AllCodebooks, Allocation, CodebookDropout, ConstantRate, RateAllocator
    from qcodec.quantizers.around import AroundQuantizer, AroundStage
    from qcodec.quantizers.base import Quantizer, QuantizerOutput, QuantizerWrapper
    from qcodec.quantizers.binary import BSQ, LFQ
    from qcodec.quantizers.codebooks import Codebook, EMACodebook, LearnedCodebook, Levels
    from qcodec.quantizers.dither import AnnealedDither
    from qcodec.quantizers.diveq import DetachedDiVeQ, DiVeQ
    from qcodec.quantizers.estimators import (
        STE,
        DetachedNoiseApproximation,
        Estimator,
        GradientEstimator,
        ModifiedSTE,
        NoGradient,
        NoiseApproximation,
        Selected,
    )
    from qcodec.quantizers.external import VectorQuantizePytorch
    from qcodec.quantizers.fixed import FixedCodebook
    from qcodec.quantizers.frame import FrameOutput, FrameQuantizer
    from qcodec.quantizers.frame_layers import Bounded, Dropout, L2Normalization, LayerNorm
    from qcodec.quantizers.fsq import FSQ
    from qcodec.quantizers.gumbel_rao import GumbelRao, ReinMaxCV, ReinMaxRao
    from qcodec.quantizers.gumbel_softmax import GumbelSoftmax, StraightThroughGumbel
    from qcodec.quantizers.identity import Identity
    from qcodec.quantizers.importance import ImportanceMask
    from qcodec.quantizers.kmeans import KMeansStart
    from qcodec.quantizers.layered import Layer, LayeredQuantizer
    from qcodec.quantizers.levels import LogUniformLevels, UniformLevels
    from qcodec.quantizers.nsvq import NSVQ
    from qcodec.quantizers.product import ProductQuantizer, product_vq
    from qcodec.quantizers.projected import ProjectedQuantizer, ProjectedStage
    from qcodec.quantizers.receptive_field import ReceptiveField
    from qcodec.quantizers.reinmax import ReinMax
    from qcodec.quantizers.residual import ResidualVQ, residual_vq
    from qcodec.quantizers.residual_fsq import FSQStage, residual_fsq
    from qcodec.quantizers.rotation_trick import RotationTrick
    from qcodec.quantizers.scalar import ScalarQuantizer
    from qcodec.quantizers.sf_diveq import SFDiVeQ
    from qcodec.quantizers.simvq import SimVQCodebook
    from qcodec.quantizers.soft_round import SoftRound
    from qcodec.quantizers.soft_to_hard import SoftToHard
    from qcodec.quantizers.spigot import SPIGOT
    from qcodec.quantizers.stochastic_ste import StochasticSTE
    from qcodec.quantizers.universal import UniversalQuantizer
    from qcodec.quantizers.vector import FactorizedVQ, VectorQuantizer
    from qcodec.quantizers.whitening import Whitening
    from qcodec.quantizers.zgr import ZGR

_HOME = {
    "AdditiveUniformNoise": "qcodec.quantizers.additive_noise",
    "AllCodebooks": "qcodec.quantizers.allocators",
    "Allocation": "qcodec.quantizers.allocators",
    "AnnealedDither": "qcodec.quantizers.dither",
    "AroundQuantizer": "qcodec.quantizers.around",
    "AroundStage": "qcodec.quantizers.around",
    "AudioCodec": "qcodec.codecs.base",
    "BSQ": "qcodec.quantizers.binary",
    "Bounded": "qcodec.quantizers.frame_layers",
    "Codebook": "qcodec.quantizers.codebooks",
    "CodebookDropout": "qcodec.quantizers.allocators",
    "Codec": "qcodec.codecs.base",
    "CodedFile": "qcodec.evaluation.file_codec",
    "ConstantRate": "qcodec.quantizers.allocators",
    "DacCodec": "qcodec.codecs.dac.codec",
    "DetachedDiVeQ": "qcodec.quantizers.diveq",
    "DetachedNoiseApproximation": "qcodec.quantizers.estimators",
    "DiVeQ": "qcodec.quantizers.diveq",
    "Dropout": "qcodec.quantizers.frame_layers",
    "EMACodebook": "qcodec.quantizers.codebooks",
    "Embedding": "qcodec.codecs.base",
    "Estimator": "qcodec.quantizers.estimators",
    "FSQ": "qcodec.quantizers.fsq",
    "FSQStage": "qcodec.quantizers.residual_fsq",
    "FactorizedVQ": "qcodec.quantizers.vector",
    "FileCodec": "qcodec.evaluation.file_codec",
    "FixedCodebook": "qcodec.quantizers.fixed",
    "FrameOutput": "qcodec.quantizers.frame",
    "FrameQuantizer": "qcodec.quantizers.frame",
    "GradientEstimator": "qcodec.quantizers.estimators",
    "GumbelRao": "qcodec.quantizers.gumbel_rao",
    "GumbelSoftmax": "qcodec.quantizers.gumbel_softmax",
    "Identity": "qcodec.quantizers.identity",
    "ImportanceMask": "qcodec.quantizers.importance",
    "KMeansStart": "qcodec.quantizers.kmeans",
    "L2Normalization": "qcodec.quantizers.frame_layers",
    "LFQ": "qcodec.quantizers.binary",
    "Layer": "qcodec.quantizers.layered",
    "LayerNorm": "qcodec.quantizers.frame_layers",
    "LayeredQuantizer": "qcodec.quantizers.layered",
    "LearnedCodebook": "qcodec.quantizers.codebooks",
    "Levels": "qcodec.quantizers.codebooks",
    "LogUniformLevels": "qcodec.quantizers.levels",
    "ModifiedSTE": "qcodec.quantizers.estimators",
    "NSVQ": "qcodec.quantizers.nsvq",
    "NoGradient": "qcodec.quantizers.estimators",
    "NoiseApproximation": "qcodec.quantizers.estimators",
    "ProductQuantizer": "qcodec.quantizers.product",
    "ProjectedQuantizer": "qcodec.quantizers.projected",
    "ProjectedStage": "qcodec.quantizers.projected",
    "Quantizer": "qcodec.quantizers.base",
    "QuantizerOutput": "qcodec.quantizers.base",
    "QuantizerWrapper": "qcodec.quantizers.base",
    "RateAllocator": "qcodec.quantizers.allocators",
    "ReceptiveField": "qcodec.quantizers.receptive_field",
    "ReinMax": "qcodec.quantizers.reinmax",
    "ReinMaxCV": "qcodec.quantizers.gumbel_rao",
    "ReinMaxRao": "qcodec.quantizers.gumbel_rao",
    "ResidualVQ": "qcodec.quantizers.residual",
    "RotationTrick": "qcodec.quantizers.rotation_trick",
    "SFDiVeQ": "qcodec.quantizers.sf_diveq",
    "SPIGOT": "qcodec.quantizers.spigot",
    "STE": "qcodec.quantizers.estimators",
    "ScalarQuantizer": "qcodec.quantizers.scalar",
    "Selected": "qcodec.quantizers.estimators",
    "SimVQCodebook": "qcodec.quantizers.simvq",
    "SoftRound": "qcodec.quantizers.soft_round",
    "SoftToHard": "qcodec.quantizers.soft_to_hard",
    "StochasticSTE": "qcodec.quantizers.stochastic_ste",
    "StraightThroughGumbel": "qcodec.quantizers.gumbel_softmax",
    "SurrogateCodec": "qcodec.codecs.surrogate",
    "UniformLevels": "qcodec.quantizers.levels",
    "UniversalQuantizer": "qcodec.quantizers.universal",
    "VectorQuantizePytorch": "qcodec.quantizers.external",
    "VectorQuantizer": "qcodec.quantizers.vector",
    "Whitening": "qcodec.quantizers.whitening",
    "ZGR": "qcodec.quantizers.zgr",
    "export_dac": "qcodec.codecs.dac.weights",
    "fit": "qcodec.api",
    "load_dac": "qcodec.codecs.dac.weights",
    "load_run": "qcodec.api",
    "patch_dac": "qcodec.codecs.dac.codec",
    "product_vq": "qcodec.quantizers.product",
    "residual_fsq": "qcodec.quantizers.residual_fsq",
    "residual_vq": "qcodec.quantizers.residual",
}

__all__ = [
    "BSQ",
    "FSQ",
    "LFQ",
    "NSVQ",
    "SPIGOT",
    "STE",
    "ZGR",
    "AdditiveUniformNoise",
    "AllCodebooks",
    "Allocation",
    "AnnealedDither",
    "AroundQuantizer",
    "AroundStage",
    "AudioCodec",
    "Bounded",
    "Codebook",
    "CodebookDropout",
    "Codec",
    "CodedFile",
    "ConstantRate",
    "DacCodec",
    "DetachedDiVeQ",
    "DetachedNoiseApproximation",
    "DiVeQ",
    "Dropout",
    "EMACodebook",
    "Embedding",
    "Estimator",
    "FSQStage",
    "FactorizedVQ",
    "FileCodec",
    "FixedCodebook",
    "FrameOutput",
    "FrameQuantizer",
    "GradientEstimator",
    "GumbelRao",
    "GumbelSoftmax",
    "Identity",
    "ImportanceMask",
    "KMeansStart",
    "L2Normalization",
    "Layer",
    "LayerNorm",
    "LayeredQuantizer",
    "LearnedCodebook",
    "Levels",
    "LogUniformLevels",
    "ModifiedSTE",
    "NoGradient",
    "NoiseApproximation",
    "ProductQuantizer",
    "ProjectedQuantizer",
    "ProjectedStage",
    "Quantizer",
    "QuantizerOutput",
    "QuantizerWrapper",
    "RateAllocator",
    "ReceptiveField",
    "ReinMax",
    "ReinMaxCV",
    "ReinMaxRao",
    "ResidualVQ",
    "RotationTrick",
    "SFDiVeQ",
    "ScalarQuantizer",
    "Selected",
    "SimVQCodebook",
    "SoftRound",
    "SoftToHard",
    "StochasticSTE",
    "StraightThroughGumbel",
    "SurrogateCodec",
    "UniformLevels",
    "UniversalQuantizer",
    "VectorQuantizePytorch",
    "VectorQuantizer",
    "Whitening",
    "export_dac",
    "fit",
    "load_dac",
    "load_run",
    "patch_dac",
    "product_vq",
    "residual_fsq",
    "residual_vq",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qcodec' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
