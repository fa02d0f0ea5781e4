"""Where an estimator acts: around a stage, or around a whole quantizer, instead of inside on the looked-up vectors.

An estimator inside a ``FactorizedVQ`` acts between its projections, and its gradient passes both. Around a stage it
acts from the stage's input to its output; around a quantizer from the embedding to the sum. What stands inside then
takes ``NoGradient``, so that none is counted twice: the output projections get the decoder's gradient directly, the
input projections learn from the commitment loss alone::

    z ---------------------------------> estimator ---> + ---> z_hat
    '--> in_proj -> points -> out_proj --'  z_q         |
                                  '---- value 0, its gradient --'
"""

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from qcodec.quantizers.base import Quantizer, QuantizerOutput, QuantizerWrapper
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.estimators import GradientEstimator
from qcodec.quantizers.frame import FrameOutput, FrameQuantizer


def _around(estimator: GradientEstimator, z: Tensor, z_hat: Tensor, z_q: Tensor) -> Tensor:
    """Return the estimate for ``z_q``, with the gradient of ``z_hat`` for what stands inside."""
    estimate: Tensor = estimator(z, z_q)
    return estimate + (z_hat - z_hat.detach())


@final
class AroundStage(FrameQuantizer):
    """A stage whose estimator acts from its input to its output.

    Args:
        stage: The stage; its own estimator is best ``NoGradient``.
        estimator: The estimator around it.

    Example:
        >>> import torch
        >>> from qcodec import STE, FactorizedVQ, NoGradient
        >>> stage = AroundStage(FactorizedVQ(8, estimator=NoGradient()), STE())
        >>> z = torch.randn(1, 8, 3, requires_grad=True)
        >>> stage(z).z_hat.sum().backward()
        >>> bool((z.grad == 1).all())
        True
    """

    def __init__(self, stage: FrameQuantizer, estimator: GradientEstimator) -> None:
        super().__init__()
        check_is(stage, FrameQuantizer, "stage")
        check_is(estimator, GradientEstimator, "estimator")
        self.stage, self.estimator = stage, estimator
        self.dim, self.size = stage.dim, stage.size

    @property
    def exact(self) -> bool:
        """As the estimator."""
        return self.estimator.exact

    def quantize(self, z: Tensor) -> FrameOutput:
        """Quantize by the stage, and pass gradients around it."""
        inside = self.stage.quantize(z)
        z_hat = _around(self.estimator, z, inside.z_hat, inside.z_q)
        return FrameOutput(inside.codes, z_hat, inside.z_q, inside.latents, inside.losses)

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Return what the stage makes of codes."""
        return self.stage.embed_codes(codes)

    def observe(self, output: FrameOutput, sent: Tensor) -> None:
        """Pass what was sent to the stage, whose codebook may learn from it."""
        self.stage.observe(output, sent)

    def deployed(self) -> Quantizer:
        """Return the stage."""
        return self.stage.deployed()

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return that of the stage."""
        return self.stage.decoder_identity()


@final
class AroundQuantizer(QuantizerWrapper):
    """A quantizer whose estimator acts once, from the embedding to the quantized value.

    Args:
        quantizer: The quantizer; its own estimators are best ``NoGradient``.
        estimator: The estimator around it.

    Example:
        >>> import torch
        >>> from qcodec import STE, NoGradient, residual_vq
        >>> quantizer = AroundQuantizer(residual_vq(8, estimator=NoGradient()), STE())
        >>> z = torch.randn(1, 8, 3, requires_grad=True)
        >>> quantizer(z).z_hat.sum().backward()
        >>> bool((z.grad == 1).all())
        True
    """

    def __init__(self, quantizer: Quantizer, estimator: GradientEstimator) -> None:
        super().__init__(quantizer)
        check_is(estimator, GradientEstimator, "estimator")
        self.estimator = estimator

    @property
    def entries_independent(self) -> bool:
        """As both parts."""
        return self.quantizer.entries_independent and self.estimator.entries_independent

    @property
    def exact(self) -> bool:
        """As the estimator."""
        return self.estimator.exact

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z``, and pass gradients around."""
        inside: QuantizerOutput = self.quantizer(z, features=features, level=level)
        z_hat = _around(self.estimator, z, inside.z_hat, inside.z_q)
        return QuantizerOutput(z_hat, inside.codes, inside.bits, inside.losses, inside.z_q, inside.latents)
