"""Residual vector quantization: each stage quantizes what the stages before it left over."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.allocators import AllCodebooks, Allocation, RateAllocator
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.codebooks import LearnedCodebook
from qcodec.quantizers.estimators import STE, Estimator
from qcodec.quantizers.frame import FrameOutput, FrameQuantizer, check_channels
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.quantizers.vector import FactorizedVQ
from qcodec.rate import code_bits

ResidualPath = Literal["attached", "output_detached", "detached"]


@final
class ResidualVQ(Quantizer):
    """Residual quantizer of stages with one code a frame each, as in the Descript Audio Codec (arXiv 2306.06546).

    Stage ``i`` quantizes ``r_i`` to ``y_i``, with ``r_0 = z`` and ``r_{i+1} = r_i - y_i``; the quantized value is the
    sum of the ``y_i`` that the allocator sends. Codes are -1 where a stage is not sent; bits count ``log2`` of a
    stage's codes for each stage that is, and the allocator's side information. In evaluation stages that no frame of
    the batch is sent are not computed. Losses are those of the stages, summed over the stages that are sent and
    averaged over all frames; those of the allocator stand beside them. Works in the precision of its own weights.

    What the residual carries decides which gradient the encoder gets. With a straight-through estimator around each
    stage (``AroundStage``), the encoder's gradient is the decoder's for ``attached`` and ``detached``, and N_q times
    as large for ``output_detached``; ``qcodec.functional.gradient_gain`` measures it.

    Args:
        stages: The stages, of one embedding; ``residual_vq`` builds the usual ones.
        allocator: Which stages are sent; all if left out.
        residual: ``attached``: nothing is detached, gradients pass through ``r_i`` and ``y_i``. ``output_detached``:
            ``r_i - sg[y_i]``, so that every stage passes its gradient on to the encoder. ``detached``:
            ``sg[r_i - y_i]``, so that the first stage alone does.

    Raises:
        ValueError: Without stages, for stages of different embeddings, or an unknown setting.

    Example:
        >>> quantizer = residual_vq(dim=16, n_codebooks=3, codebook_size=64, codebook_dim=4).eval()
        >>> output = quantizer(torch.randn(2, 16, 10), level=2)
        >>> output.codes[0, :, 0].ge(0).tolist(), output.bits[0, 0].item()
        ([True, True, False], 12.0)
    """

    def __init__(
        self,
        stages: Sequence[FrameQuantizer],
        allocator: RateAllocator | None = None,
        residual: ResidualPath = "attached",
    ) -> None:
        super().__init__()
        for index, stage in enumerate(stages):
            check_is(stage, FrameQuantizer, f"stages[{index}]")
        dims = sorted({stage.dim for stage in stages if stage.dim is not None})
        if not stages or len(dims) > 1:
            raise ValueError(f"{len(stages)} stages for embeddings of {dims or 'no'} channels: give stages of one dim")
        if residual not in ("attached", "output_detached", "detached"):
            raise ValueError(f"residual {residual!r} is unknown: choose 'attached', 'output_detached' or 'detached'")
        self.dim, self.residual = dims[0] if dims else None, residual
        self.allocator = AllCodebooks() if allocator is None else allocator
        check_is(self.allocator, RateAllocator, "allocator")
        self.quantizers = nn.ModuleList(stages)  # named as in dac.nn.quantize.ResidualVectorQuantize

    @property
    def stages(self) -> list[FrameQuantizer]:
        """The stages."""
        return [cast(FrameQuantizer, stage) for stage in self.quantizers]

    @property
    def n_codebooks(self) -> int:
        """Number of stages, N_q."""
        return len(self.quantizers)

    @property
    def exact(self) -> bool:
        """Whether all stages are."""
        return all(stage.exact for stage in self.stages)

    @property
    def receptive_field(self) -> ReceptiveField:
        """No frame but the one itself."""
        return ReceptiveField()

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the stages as they are now."""
        return {**super().arguments(), "stages": self.stages}

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return the number of codes of each stage."""
        return tuple(stage.size for stage in self.stages)

    def deployed(self) -> Quantizer:
        """Return this quantizer with what acts of each stage in evaluation."""
        inside = [stage.deployed() for stage in self.stages]
        if all(stage is outside for stage, outside in zip(inside, self.stages, strict=True)):
            return self
        return self._with(quantizers=nn.ModuleList(inside).train(self.training))

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return those of the stages."""
        return {
            f"{index}.{name}": value
            for index, stage in enumerate(self.stages)
            for name, value in stage.decoder_identity().items()
        }

    def dac_arguments(self) -> Mapping[str, Any] | None:
        """Return them where every stage has a counterpart, of as many codes."""
        each = [stage.dac_arguments() for stage in self.stages]
        known = [arguments for arguments in each if arguments is not None]
        if len(known) < len(each) or len({arguments["codebook_size"] for arguments in known}) > 1:
            return None
        dims = [arguments["codebook_dim"] for arguments in known]
        return {**known[0], "n_codebooks": len(dims), "codebook_dim": dims[0] if len(set(dims)) == 1 else dims}

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z`` stage by stage; ``level`` and ``features`` are the allocator's."""
        check_embedding(z, "ResidualVQ")
        check_channels(z, "ResidualVQ", self.dim)
        allocator = cast(RateAllocator, self.allocator)
        allocation: Allocation = allocator(z, self.n_codebooks, features=features, level=level)
        with full_precision(z):
            return self._quantize(z, allocation)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the embedding ``(B, D, T)`` of codes ``(B, n, T)``, ``n`` up to N_q; -1 adds nothing."""
        check_codes(codes, "ResidualVQ")
        if not 1 <= codes.shape[1] <= self.n_codebooks:
            raise ValueError(
                f"ResidualVQ has {self.n_codebooks} stages, not {codes.shape[1]}: decode with what encoded"
            )
        check_codes(codes, "ResidualVQ", [stage.size for stage in self.stages], lowest=-1)
        z_hat = torch.zeros((), dtype=self.stages[0].dtype, device=codes.device)
        with full_precision(codes):
            for stage, code in zip(self.stages, codes.unbind(1), strict=False):
                z_hat = z_hat + stage.embed_codes(code.clamp_min(0)) * (code >= 0).unsqueeze(1)
        return z_hat

    def _quantize(self, z: Tensor, allocation: Allocation) -> QuantizerOutput:
        stages = self.stages[: max(1, allocation.stages)]  # where nothing is sent the first gives the shapes
        residual = z.to(stages[0].dtype)
        mask = allocation.mask.to(residual.dtype)
        z_hat = z_q = residual.new_zeros(())
        outputs: list[FrameOutput] = []
        for stage, sent in zip(stages, mask.unsqueeze(2).unbind(1), strict=False):
            output = stage.quantize(residual)
            outputs.append(output)
            z_hat, z_q = z_hat + output.z_hat * sent, z_q + output.z_q * sent.detach()
            residual = self._left_over(residual, output, stage.exact or not stage.training)
        sent_frames = mask[:, : len(outputs)] > 0
        if self.training:
            for stage, output, sent in zip(stages, outputs, sent_frames.unbind(1), strict=True):
                stage.observe(output, sent)
        codes = torch.stack([output.codes for output in outputs], 1).masked_fill(~sent_frames, -1)
        costs = mask.new_tensor([code_bits(stage.size) for stage in stages], dtype=torch.float32)
        bits = (sent_frames * costs[:, None]).sum(1) + allocation.side_bits
        losses = {**_sent_means(outputs, mask.detach()), **allocation.losses}
        codes = F.pad(codes, (0, 0, 0, self.n_codebooks - len(outputs)), value=-1)
        latents = torch.cat([output.latents for output in outputs], 1)
        return QuantizerOutput(z_hat.to(z.dtype), codes, bits, losses, z_q.to(z.dtype), latents)

    def _left_over(self, residual: Tensor, output: FrameOutput, exact: bool) -> Tensor:
        if self.residual == "detached":
            return (residual - output.z_q).detach()
        if self.residual == "output_detached":
            return residual - output.z_q
        if exact:
            return residual - output.z_hat
        return residual - (output.z_q + (output.z_hat - output.z_hat.detach()))  # later stages refine what is sent


def residual_vq(
    dim: int,
    n_codebooks: int = 12,
    codebook_size: int = 1024,
    codebook_dim: int | Sequence[int] = 8,
    allocator: RateAllocator | None = None,
    estimator: Estimator | None = None,
) -> ResidualVQ:
    """Build the residual quantizer of the Descript Audio Codec: cosine codebooks, projected (arXiv 2306.06546, 3.2).

    With the default settings and equal weights it equals ``dac.nn.quantize.ResidualVectorQuantize``, whose names of
    weights it has.

    Args:
        dim: Channels of the embedding.
        n_codebooks: Number of stages, N_q.
        codebook_size: Points per stage.
        codebook_dim: Dimensions of the points, one number or one per stage.
        allocator: Which stages are sent; all if left out.
        estimator: How points are chosen and gradients pass, built anew for each stage; straight-through if left out.

    Raises:
        ValueError: For sizes below their least, or another number of ``codebook_dim`` than of stages.

    Example:
        >>> quantizer = residual_vq(dim=16, n_codebooks=3)
        >>> quantizer(torch.randn(1, 16, 10)).codes.shape
        torch.Size([1, 3, 10])
    """
    dims = [codebook_dim] * n_codebooks if isinstance(codebook_dim, int) else list(codebook_dim)
    if n_codebooks < 1 or len(dims) != n_codebooks:
        raise ValueError(f"{len(dims)} values of codebook_dim for n_codebooks={n_codebooks}: give one for each, 1 up")
    usual = STE() if estimator is None else estimator
    return ResidualVQ([_stage(dim, codebook_size, each, usual.rebuild()) for each in dims], allocator)


def _stage(dim: int, size: int, codebook_dim: int, estimator: Estimator) -> FactorizedVQ:
    """Build a stage whose weights are drawn in the order of ``dac``, so that equal seeds give equal weights."""
    with torch.random.fork_rng(devices=[]):
        codebook = LearnedCodebook(size, codebook_dim)
    stage = FactorizedVQ(dim, codebook, estimator)
    codebook.reset_parameters()
    return stage


def _sent_means(outputs: Sequence[FrameOutput], mask: Tensor) -> dict[str, Tensor]:
    """Sum the losses of the stages where they are sent, and average them over the frames: ``(B,)`` each."""
    means = {}
    for name in dict.fromkeys(name for output in outputs for name in output.losses):
        having = [index for index, output in enumerate(outputs) if name in output.losses]
        stages = torch.stack([outputs[index].losses[name] for index in having], 1)
        means[name] = (stages * mask[:, having]).sum(1).mean(1)
    return means
