"""Groups of channels, each with a quantizer of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.estimators import STE, Estimator
from qcodec.quantizers.frame import check_channels
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.quantizers.vector import VectorQuantizer


@final
class ProductQuantizer(Quantizer):
    """Groups of channels with a quantizer each (Jegou, Douze and Schmid, IEEE Trans. PAMI 33(1), 2011).

    With ``VectorQuantizer`` or ``FactorizedVQ`` parts it is product quantization, with ``ResidualVQ`` parts grouped
    residual quantization (HiFi-Codec, arXiv 2305.02765). Codes and bits of a frame are those of the first group, then
    of the second, and so on. Losses are the mean over the groups; a group without a loss of that name counts as zero.
    There is one rate: all codes are sent in evaluation.

    Args:
        dim: Channels of the embedding, a multiple of the number of groups.
        parts: The quantizers of the groups. One instance several times shares its codebook.

    Raises:
        ValueError: For channels that cannot be divided, or a part whose codes are written to no file or whose depth
            differs from frame to frame.

    Example:
        >>> from qcodec import LearnedCodebook, VectorQuantizer, residual_vq
        >>> product = ProductQuantizer(12, [VectorQuantizer(LearnedCodebook(size=64, dim=4)) for _ in range(3)]).eval()
        >>> product(torch.randn(2, 12, 10)).codes.shape
        torch.Size([2, 3, 10])
        >>> grouped = ProductQuantizer(16, [residual_vq(8, 2, codebook_size=64, codebook_dim=4) for _ in range(2)])
        >>> grouped.code_sizes(16)
        (64, 64, 64, 64)
    """

    def __init__(self, dim: int, parts: Sequence[Quantizer]) -> None:
        super().__init__()
        if not parts or dim < 1 or dim % len(parts):
            raise ValueError(f"dim={dim} channels cannot be divided into {len(parts)} equal groups")
        counts = []
        for index, part in enumerate(parts):
            check_is(part, Quantizer, f"parts[{index}]")
            sizes, owner = part.code_sizes(dim // len(parts)), type(part).__name__
            if sizes is None:
                raise ValueError(f"the codes of a {owner} do not determine its output, so no product can be made of it")
            if part.allocator is not None and part.allocator.per_frame:
                raise ValueError(
                    f"{type(part.allocator).__name__} lets the depth of a {owner} differ from frame to frame, which a "
                    "product has no place for: give its parts AllCodebooks or CodebookDropout"
                )
            counts.append(len(sizes))
        self.dim, self.counts = dim, counts
        self.parts = nn.ModuleList(parts)

    @property
    def exact(self) -> bool:
        """Whether all parts are."""
        return all(part.exact for part in self._each())

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """The widest of the parts'; ``None`` where one has none."""
        fields = [part.receptive_field for part in self._each()]
        known = [field for field in fields if field is not None]
        if len(known) < len(fields):
            return None
        return ReceptiveField(max(field.left for field in known), max(field.right for field in known))

    def code_sizes(self, channels: int) -> tuple[int, ...]:
        """Return those of the groups, one after the other."""
        return tuple(size for part in self._each() for size in part.code_sizes(self._width) or ())

    def deployed(self) -> Quantizer:
        """Return the product of what acts of the parts in evaluation."""
        inside = [part.deployed() for part in self._each()]
        if all(part is outside for part, outside in zip(inside, self._each(), strict=True)):
            return self
        return self._with(parts=nn.ModuleList(inside).train(self.training))

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return those of the parts."""
        return {
            f"{index}.{name}": value
            for index, part in enumerate(self._each())
            for name, value in part.decoder_identity().items()
        }

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize each group of channels by its part, which gets the whole ``features``."""
        check_embedding(z, "ProductQuantizer", level)
        check_channels(z, "ProductQuantizer", self.dim)
        groups = torch.split(z, self._width, 1)
        outputs = [part(group, features=features) for part, group in zip(self._each(), groups, strict=True)]
        losses = {
            name: sum(output.losses[name] for output in outputs if name in output.losses) / len(outputs)
            for name in dict.fromkeys(name for output in outputs for name in output.losses)
        }
        z_hat, codes, z_q = (
            torch.cat([getattr(output, name) for output in outputs], 1) for name in ("z_hat", "codes", "z_q")
        )
        bits = torch.stack([output.bits for output in outputs]).sum(0)
        latents = [
            group if output.latents is None else output.latents for output, group in zip(outputs, groups, strict=True)
        ]
        return QuantizerOutput(z_hat, codes, bits, losses, z_q, torch.cat(latents, 1))

    def decode(self, codes: Tensor) -> Tensor:
        """Return the embedding of codes ``(B, N, T)``, as many for each part as it sends."""
        check_codes(codes, "ProductQuantizer")
        if codes.shape[1] != sum(self.counts):
            raise ValueError(f"this product has {sum(self.counts)} codes a frame, not {codes.shape[1]}")
        groups = torch.split(codes, self.counts, 1)
        return torch.cat([part.decode(group) for part, group in zip(self._each(), groups, strict=True)], 1)

    def _each(self) -> list[Quantizer]:
        return [cast(Quantizer, part) for part in self.parts]

    @property
    def _width(self) -> int:
        return self.dim // len(self.parts)


def product_vq(dim: int, groups: int, codebook: Codebook, estimator: Estimator | None = None) -> ProductQuantizer:
    """Build a product quantizer of equal vector quantizers (Jegou, Douze and Schmid, IEEE Trans. PAMI 33(1), 2011).

    Args:
        dim: Channels of the embedding.
        groups: Number of groups, each with a codebook of its own.
        codebook: Of the first group; the others are built anew like it. Its dimensions are ``dim / groups``.
        estimator: How points are chosen and gradients pass, built anew for each group; straight-through if left out.

    Raises:
        ValueError: For a codebook of other dimensions than a group's.

    Example:
        >>> from qcodec import LearnedCodebook
        >>> quantizer = product_vq(30, 15, LearnedCodebook(16, 2, "euclidean"))
        >>> quantizer.code_sizes(30)[:3]
        (16, 16, 16)
    """
    if groups < 1 or codebook.dim * groups != dim:
        raise ValueError(f"{groups} groups of codebook.dim={codebook.dim} are not dim={dim} channels: let them agree")
    usual = STE() if estimator is None else estimator
    codebooks = [codebook, *(codebook.rebuild() for _ in range(groups - 1))]
    return ProductQuantizer(dim, [VectorQuantizer(each, usual.rebuild()) for each in codebooks])
