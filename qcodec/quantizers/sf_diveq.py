"""Quantization to a curve through the points of a codebook."""

import math
from typing import final

import torch
from torch import Tensor

from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_embedding
from qcodec.quantizers.checks import check_is
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.diveq import frame_error
from qcodec.quantizers.frame import check_channels
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.random_streams import in_common, normal_like
from qcodec.rate import code_bits


@final
class SFDiVeQ(Quantizer):
    """Space-filling DiVeQ (arXiv 2509.26469): each frame is replaced by a point of the curve through all points.

    The curve joins each point ``c_i`` of the codebook to the next by a straight line. In training a position ``l_i ~
    U(0, 1)`` on each line is drawn, the nearest of the points ``(1 - l_i) c_i + l_i c_{i+1}`` is chosen, and the
    decoder sees ``z + (1 - l_i) ||c_i - z|| sg[u_i] + l_i ||c_{i+1} - z|| sg[u_{i+1}]`` with ``u`` the unit vector of
    an error to which noise of ``variance`` is added: nearly that point, with gradients to the encoder and to both ends
    of the line. In evaluation a frame is replaced by the nearest point of the whole curve (the authors' package looks
    on the lines beside the nearest ``c_i`` alone). The code is the number of the line, from which that point cannot be
    decoded: there are no files of it, and ``bits`` counts a position of 32 bits beside the code. The loss
    ``commitment`` is ``mean (z - z_q)^2``; the paper needs none.

    Args:
        codebook: Points of as many dimensions as the embedding has channels, found by Euclidean distance.
        variance: Of the noise in each dimension, not negative.

    Raises:
        ValueError: For a negative variance, another metric, or an embedding of other channels.

    Example:
        >>> from qcodec import LearnedCodebook
        >>> quantizer = SFDiVeQ(LearnedCodebook(size=64, dim=4, metric="euclidean")).eval()
        >>> output = quantizer(torch.randn(2, 4, 10))
        >>> output.codes.shape, quantizer.code_sizes(4) is None
        (torch.Size([2, 1, 10]), True)
    """

    def __init__(self, codebook: Codebook, variance: float = 1e-3) -> None:
        super().__init__()
        check_is(codebook, Codebook, "codebook")
        if codebook.metric != "euclidean":
            raise ValueError(f"metric {codebook.metric!r} is none of points on a curve: choose 'euclidean'")
        if not 0 <= variance < math.inf:
            raise ValueError(f"variance={variance} is no variance: give 0 or a positive number")
        self.codebook, self.variance = codebook, float(variance)

    @property
    def receptive_field(self) -> ReceptiveField:
        """No frame but the one itself."""
        return ReceptiveField()

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Put each frame of ``z`` on the curve."""
        check_embedding(z, "SFDiVeQ", level)
        check_channels(z, "SFDiVeQ", self.codebook.dim)
        points = self.codebook.vectors()
        wide = z.to(torch.promote_types(z.dtype, points.dtype))
        if self.training:
            position = in_common(lambda: torch.rand(len(points) - 1, 1, dtype=points.dtype, device=points.device))
            between = (points[:-1].lerp(points[1:], position)).detach()
            codes = torch.cdist(wide.detach().mT, between).argmin(-1)
            share = position[codes].mT
            ends = [points[codes + end].mT for end in (0, 1)]
            z_hat = wide + (1 - share) * self._towards(wide, ends[0]) + share * self._towards(wide, ends[1])
            z_q = between[codes].mT
        else:
            codes, z_q = nearest_on_curve(wide, points)
            z_hat = z_q
        bits = z.new_full((z.shape[0], z.shape[2]), code_bits(len(points) - 1) + 32, dtype=torch.float32)
        losses = {"commitment": (wide - z_q).square().mean((1, 2))}
        return QuantizerOutput(z_hat.to(z.dtype), codes.unsqueeze(1), bits, losses, z_q.to(z.dtype))

    def decode(self, codes: Tensor) -> Tensor:
        """Raise ``ValueError``: a code names a line, and not where on it the frame lies."""
        raise ValueError("the codes of SFDiVeQ do not determine what is decoded (its code_sizes is None)")

    def _towards(self, z: Tensor, end: Tensor) -> Tensor:
        """Return ``||end - z|| sg[u]`` for ``z`` and ``end`` ``(B, D, T)``."""
        error = frame_error(z, end)
        noisy = error.detach() + normal_like(error.detach()) * math.sqrt(self.variance)
        unit = noisy / torch.linalg.vector_norm(noisy, dim=1, keepdim=True).clamp_min(torch.finfo(noisy.dtype).tiny)
        part: Tensor = torch.linalg.vector_norm(error, dim=1, keepdim=True) * unit
        return part


@torch.no_grad()
def nearest_on_curve(z: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Find for each frame the nearest point of the curve that joins points ``(K, d)`` in their order.

    Args:
        z: ``(B, d, T)``.
        points: The points, 2 or more.

    Returns:
        The number of the line ``(B, T)``, of several equally near ones the first, and the point ``(B, d, T)``.

    Example:
        >>> codes, found = nearest_on_curve(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[0.0, 0], [4, 0], [4, 9]]))
        >>> codes.tolist(), found.flatten().tolist()
        ([[0]], [1.0, 0.0])
    """
    frames, starts, lines = z.mT, points[:-1], points[1:] - points[:-1]
    along = frames @ lines.mT - (starts * lines).sum(-1)  # (B, T, K - 1)
    share = (along / lines.square().sum(-1).clamp_min(torch.finfo(lines.dtype).tiny)).clamp(0, 1)
    from_start = torch.cdist(frames, starts, compute_mode="donot_use_mm_for_euclid_dist").square()
    distance = from_start - 2 * share * along + share.square() * lines.square().sum(-1)
    codes = distance.argmin(-1)
    share = share.gather(-1, codes.unsqueeze(-1))
    return codes, (starts[codes] + share * lines[codes]).mT
