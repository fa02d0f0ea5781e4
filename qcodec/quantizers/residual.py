"""Residual vector quantization: each stage quantizes what the stages before it left over."""

import copy
from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.allocators import AllCodebooks, Allocation, RateAllocator
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.estimators import STE, GradientEstimator
from qcodec.quantizers.vector import LookUp, VectorStage, check_channels
from qcodec.rate import code_bits

EstimatorAt = Literal["projected", "stage", "sum"]
ResidualPath = Literal["attached", "output_detached", "detached"]


@final
class ResidualVQ(Quantizer):
    """Residual quantizer of factorised stages with cosine look-up, as in the Descript Audio Codec (arXiv 2306.06546).

    Stage ``i`` quantizes ``r_i`` to ``y_i``, with ``r_0 = z`` and ``r_{i+1} = r_i - y_i``; the quantized value is the
    sum of the ``y_i`` that the allocator sends. Codes are -1 where a stage is not sent; bits count
    ``log2(codebook_size)`` for each stage that is, and the allocator's side information. In evaluation stages that no
    frame of the batch is sent are not computed. The losses ``commitment`` and ``codebook`` are those of
    ``VectorStage``, summed over the stages that are sent and averaged over all frames; those of the allocator stand
    beside them. With the default settings and equal weights it equals ``dac.nn.quantize.ResidualVectorQuantize``,
    whose names of weights it has. Works in the precision of its own weights, whatever that of the embedding.

    Where the estimator acts and what the residual carries decide which gradient the encoder gets. With a
    straight-through estimator at ``stage``, the encoder's gradient is the decoder's for ``attached`` and ``detached``,
    and N_q times as large for ``output_detached``; ``qcodec.functional.gradient_gain`` measures it. As everywhere, the
    estimator passes no gradient in evaluation; ``dac`` does, and so does ``quantizer.estimator.train()`` after
    ``quantizer.eval()``.

    Args:
        dim: Channels of the embedding.
        n_codebooks: Number of stages, N_q.
        codebook_size: Code vectors per stage.
        codebook_dim: Channels of the code vectors, one number or one per stage.
        allocator: Which stages are sent; all if left out.
        estimator: How gradients pass, one for all stages; a straight-through estimator if left out.
        estimator_at: ``projected``: in each stage between its projections, on the looked-up vectors. ``stage``: in each
            stage after the output projection, from the stage's input to its output. ``sum``: once, from ``z`` to the
            sum. With the last two the input projections learn from the commitment loss alone, while the output
            projections get the decoder's gradient directly.
        residual: ``attached``: nothing is detached, gradients pass through ``r_i`` and ``y_i``. ``output_detached``:
            ``r_i - sg[y_i]``, so that every stage passes its gradient on to the encoder. ``detached``:
            ``sg[r_i - y_i]``, so that the first stage alone does.

    Raises:
        ValueError: For sizes below their least, or an unknown setting.

    Example:
        >>> quantizer = ResidualVQ(dim=16, n_codebooks=3, codebook_size=64, codebook_dim=4).eval()
        >>> output = quantizer(torch.randn(2, 16, 10), level=2)
        >>> output.codes[0, :, 0].ge(0).tolist(), output.bits[0, 0].item()
        ([True, True, False], 12.0)
    """

    def __init__(
        self,
        dim: int,
        n_codebooks: int = 12,
        codebook_size: int = 1024,
        codebook_dim: int | Sequence[int] = 8,
        allocator: RateAllocator | None = None,
        estimator: GradientEstimator | None = None,
        estimator_at: EstimatorAt = "projected",
        residual: ResidualPath = "attached",
    ) -> None:
        super().__init__()
        dims = [codebook_dim] * n_codebooks if isinstance(codebook_dim, int) else list(codebook_dim)
        if n_codebooks < 1 or len(dims) != n_codebooks:
            raise ValueError(
                f"{len(dims)} values of codebook_dim for n_codebooks={n_codebooks}: give one for each, 1 up"
            )
        if estimator_at not in ("projected", "stage", "sum"):
            raise ValueError(f"estimator_at {estimator_at!r} is unknown: choose 'projected', 'stage' or 'sum'")
        if residual not in ("attached", "output_detached", "detached"):
            raise ValueError(f"residual {residual!r} is unknown: choose 'attached', 'output_detached' or 'detached'")
        self.dim, self.codebook_size, self.codebook_dims = dim, codebook_size, tuple(dims)
        self.estimator_at, self.residual = estimator_at, residual
        self._modules["allocator"] = AllCodebooks() if allocator is None else allocator
        self.estimator = STE() if estimator is None else estimator
        self.quantizers = nn.ModuleList(VectorStage(dim, codebook_size, d) for d in dims)

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the size of each codebook."""
        return (self.codebook_size,) * self.n_codebooks

    @property
    def allocator(self) -> RateAllocator:
        """What allocates the bits."""
        allocator = self._modules["allocator"]
        assert isinstance(allocator, RateAllocator)
        return allocator

    @property
    def n_codebooks(self) -> int:
        """Number of stages, N_q."""
        return len(self.quantizers)

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` stage by stage; ``level`` and ``features`` are the allocator's."""
        check_embedding(z, "ResidualVQ")
        check_channels(z, "ResidualVQ", self.dim)
        allocation = self.allocator(z, self.n_codebooks, features=features, level=level)
        with full_precision(z):
            return self._quantize(z, allocation)

    def decode(self, codes: Tensor) -> Tensor:
        """Give the embedding ``(B, D, T)`` of codes ``(B, n, T)``, ``n`` up to N_q; -1 adds nothing."""
        check_codes(codes, "ResidualVQ", self.codebook_size, lowest=-1)
        if not 1 <= codes.shape[1] <= self.n_codebooks:
            raise ValueError(
                f"ResidualVQ has {self.n_codebooks} stages, not {codes.shape[1]}: decode with what encoded"
            )
        stages = self._stages()
        z_hat = stages[0].codebook.weight.new_zeros(())
        with full_precision(codes):
            for stage, code in zip(stages, codes.unbind(1), strict=False):
                z_hat = z_hat + stage.vectors(code.clamp_min(0)) * (code >= 0).unsqueeze(1)
        return z_hat

    def with_allocator(self, allocator: RateAllocator) -> "ResidualVQ":
        """Give a quantizer of the same stages, not copies, under another allocator, in the same mode.

        So a quantizer that was trained with importance serves a constant rate as well, and one that was trained at a
        constant rate is tuned for importance.

        Example:
            >>> quantizer = ResidualVQ(dim=16, n_codebooks=3, codebook_size=64, codebook_dim=4).eval()
            >>> constant = quantizer.with_allocator(AllCodebooks())
            >>> constant(torch.randn(1, 16, 10), level=2).bits[0, 0].item()
            12.0
        """
        other = copy.copy(self)
        other._modules = {**self._modules, "allocator": allocator.train(self.training)}
        return other

    def _stages(self) -> list[VectorStage]:
        return [stage for stage in self.quantizers if isinstance(stage, VectorStage)]

    def _quantize(self, z: Tensor, allocation: Allocation) -> QuantizerOutput:
        stages = self._stages()[: allocation.stages]
        start = residual = z.to(stages[0].codebook.weight.dtype)
        mask = allocation.mask.to(start.dtype)
        z_hat = hard = start.new_zeros(())
        found: list[LookUp] = []
        for stage, sent in zip(stages, mask.unsqueeze(2).unbind(1), strict=False):
            found.append(stage.look_up(residual))
            shown, exact = self._estimate(stage, residual, found[-1])
            z_hat, hard = z_hat + shown * sent, hard + exact * sent.detach()
            residual = self._left_over(residual, shown, exact)
        if self.estimator_at == "sum":
            z_hat = self.estimator(start, hard) + (z_hat - z_hat.detach())
        sent_codes = torch.stack([f.codes for f in found], 1).masked_fill(mask[:, : len(found)] == 0, -1)
        codes = F.pad(sent_codes, (0, 0, 0, self.n_codebooks - len(found)), value=-1)
        bits = (sent_codes >= 0).sum(1).float() * code_bits(self.codebook_size) + allocation.side_bits
        losses = {
            "commitment": _sent_mean([f.latent - f.vector.detach() for f in found], mask.detach()),
            "codebook": _sent_mean([f.vector - f.latent.detach() for f in found], mask.detach()),
            **allocation.losses,
        }
        latents = torch.cat([f.latent for f in found], 1)
        return QuantizerOutput(z_hat.to(z.dtype), codes, bits, losses, hard.to(z.dtype), latents)

    def _estimate(self, stage: VectorStage, residual: Tensor, found: LookUp) -> tuple[Tensor, Tensor]:
        if self.estimator_at == "projected":
            return stage.estimate(found, self.estimator)
        output = stage.out_proj(found.vector.detach())
        hard = output.detach()
        if self.estimator_at == "stage":
            output = self.estimator(residual, hard) + (output - hard)  # adds zero: the output projection's gradient
        return output, hard

    def _left_over(self, residual: Tensor, shown: Tensor, hard: Tensor) -> Tensor:
        if self.residual == "detached":
            return (residual - hard).detach()
        if self.residual == "output_detached":
            return residual - hard
        if self.estimator.exact or not self.estimator.training:
            return residual - shown
        return residual - (hard + (shown - shown.detach()))  # later stages refine what is sent, not the noise


def _sent_mean(errors: Sequence[Tensor], mask: Tensor) -> Tensor:
    stages = torch.stack([error.square().mean(1) for error in errors], 1)
    return (stages * mask[:, : len(errors)]).sum(1).mean(1)
