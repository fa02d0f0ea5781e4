"""Residual quantizers whose estimator acts in one of three places, for the tests."""

from qcodec import STE, AroundQuantizer, AroundStage, NoGradient, ResidualVQ, residual_vq

SITES = ("projected", "stage", "sum")
PATHS = ("attached", "output_detached", "detached")


def residual_at(site, sizes, estimator=None, residual="attached", allocator=None):
    """Make one whose estimator acts inside its stages, around each of them, or around all."""
    estimator = STE() if estimator is None else estimator
    usual = residual_vq(*sizes, estimator=estimator if site == "projected" else NoGradient())
    stages = [AroundStage(stage, estimator) for stage in usual.stages] if site == "stage" else usual.stages
    quantizer = ResidualVQ(stages, allocator, residual)
    return AroundQuantizer(quantizer, estimator) if site == "sum" else quantizer
