"""Binary quantizers without a codebook: lookup-free and on the sphere."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from qcodec.quantizers.checks import check_is
from qcodec.quantizers.estimators import STE, GradientEstimator
from qcodec.quantizers.frame import FrameOutput, FrameQuantizer
from qcodec.quantizers.ranks import over_ranks, rank_count

_MOST_BITS = 24  # a file's symbols are counted up to here, and float32 tells them apart
_MOST_IN_GROUP = 16


class _BinaryQuantizer(FrameQuantizer, ABC):
    """What both share: each channel's sign is a bit of the frame's code, the first channel the highest.

    With ``u`` the embedding, or where it lies on the sphere, and ``q(c | u) = softmax_c(-|u - c|^2 / temperature)``
    over all codes ``c``, the losses are, in nats (the entropy penalty of arXiv 2310.05737):

    * ``commitment``: ``mean (u - sg[c])^2``;
    * ``entropy``: ``E H(q(. | u))``, low where frames choose clearly;
    * ``diversity``: ``-H(E q(. | u))``, low where all codes are used. The mean is that of all frames of all ranks in
      training, whether sent or not, and that of the clip in evaluation. With ``p`` the mean it is computed frame by
      frame as ``sum_c q(c | u) log sg[p_c]``, whose mean has the value of ``-H(p)`` and its gradient too, as the
      probabilities' sum is constant.

    As ``q`` is a product over the bits, the first is exact for any number of them. The second sums over ``2^group``
    codes for each ``group`` of bits, and adds the groups up, as if they were independent (arXiv 2406.07548): exact
    where one group holds all bits.
    """

    def __init__(
        self, bits: int, scale: float, temperature: float, group: int | None, estimator: GradientEstimator | None
    ) -> None:
        super().__init__()
        if not 1 <= bits <= _MOST_BITS:
            raise ValueError(f"bits={bits} make no code: give 1 to {_MOST_BITS}")
        if not temperature > 0:
            raise ValueError(f"temperature={temperature} must be positive")
        width = _default_group(bits) if group is None else group
        if not 1 <= width <= _MOST_IN_GROUP or bits % width:
            raise ValueError(f"group={group} does not divide bits={bits} into parts of up to {_MOST_IN_GROUP} bits")
        self.dim, self.size = bits, 2**bits
        self.estimator = STE() if estimator is None else estimator
        check_is(self.estimator, GradientEstimator, "estimator")
        self.bits, self.scale, self.temperature, self.group = bits, scale, temperature, width

    @property
    def exact(self) -> bool:
        """As the estimator."""
        return self.estimator.exact

    @abstractmethod
    def place(self, z: Tensor) -> Tensor:
        """Return what is quantized, ``(B, D, T)``."""

    @final
    def quantize(self, z: Tensor) -> FrameOutput:
        """Take the signs; a value of zero counts as negative."""
        u = self.place(z)
        codes = ((u.detach() > 0) * self._powers(z.device)).sum(1)
        z_q = self.embed_codes(codes).to(u.dtype)
        losses = {"commitment": (u - z_q).square().mean(1), **self._entropies(u)}
        return FrameOutput(codes, self.estimator(u, z_q), z_q, u, losses)

    @final
    def embed_codes(self, codes: Tensor) -> Tensor:
        """Return ``scale`` with the signs that the bits say."""
        signs = (codes.unsqueeze(1) & self._powers(codes.device)) > 0
        return torch.where(signs, self.scale, -self.scale)

    def decoder_identity(self) -> Mapping[str, Any]:
        """Return the number of bits and the scale."""
        return {"bits": self.bits, "scale": self.scale}

    def _powers(self, device: torch.device) -> Tensor:
        return (2 ** torch.arange(self.bits - 1, -1, -1, device=device))[:, None]

    def _entropies(self, u: Tensor) -> dict[str, Tensor]:
        logits = (4 * self.scale / self.temperature) * u.to(torch.promote_types(u.dtype, torch.float32))
        p = torch.stack([-logits, logits], -1).sigmoid()  # (B, D, T, 2)
        entropy = -(p * F.logsigmoid(torch.stack([-logits, logits], -1))).sum((1, 3))
        joint = _outer(p.view(p.shape[0], -1, self.group, *p.shape[2:]))  # (B, groups, T, 2^group)
        mean = joint.detach().mean(2, keepdim=True)
        if self.training:
            mean = over_ranks(mean.mean(0, keepdim=True)) / rank_count()
        log = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        return {"entropy": entropy, "diversity": (joint * log).sum((1, 3))}


@final
class LFQ(_BinaryQuantizer):
    """Lookup-free quantization (arXiv 2310.05737): each of D channels becomes ``-scale`` or ``scale``.

    Sends one code of D bits a frame. The losses ``commitment``, ``entropy`` and ``diversity`` are weighted by their
    names; the paper's penalty is ``entropy`` and ``diversity`` with equal weights. They are means over the frames, in
    nats, of ``q(c | z) = softmax_c(-|z - c|^2 / temperature)``: ``E H(q)`` and ``-H(E q)``.

    Args:
        bits: Channels of the embedding, D, 1 to 24; ``ProjectedStage`` fits an embedding of others.
        scale: Of the values.
        temperature: Of the losses' probabilities.
        group: Bits whose joint entropy ``diversity`` takes, up to 16; groups are added up as if they were independent.
            The largest divisor of ``bits`` up to 10 if left out.
        estimator: How gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For a number of bits, a scale or a temperature out of its range, or a group that does not divide.

    Example:
        >>> quantizer = LFQ(bits=3)
        >>> output = quantizer(torch.tensor([[[0.5], [-2.0], [0.1]]]))
        >>> output.codes.item(), output.z_q[0, :, 0].tolist(), sorted(output.losses)
        (5, [1.0, -1.0, 1.0], ['commitment', 'diversity', 'entropy'])
    """

    def __init__(
        self,
        bits: int,
        scale: float = 1.0,
        temperature: float = 0.01,
        group: int | None = None,
        estimator: GradientEstimator | None = None,
    ) -> None:
        if not scale > 0:
            raise ValueError(f"scale={scale} must be positive")
        super().__init__(bits, scale, temperature, group, estimator)

    def place(self, z: Tensor) -> Tensor:
        """Return the embedding itself."""
        return z


@final
class BSQ(_BinaryQuantizer):
    """Binary spherical quantization (arXiv 2406.07548): frames on the unit sphere, each value to ``+-1 / sqrt(D)``.

    With ``u = z / |z|`` the code is the signs of ``u``, and ``|u - c|^2 <= 2 - 2 / sqrt(D)``. The estimator acts from
    ``u`` on. Sends one code of D bits a frame. The losses are those of ``LFQ``, of ``u``
    instead of ``z``.

    Args:
        bits: Channels of the embedding, D, 1 to 24; ``ProjectedStage`` fits an embedding of others.
        temperature: Of the losses' probabilities.
        group: See ``LFQ``.
        estimator: How gradients pass; a straight-through estimator if left out.

    Raises:
        ValueError: For a number of bits or a temperature out of its range, or a group that does not divide.

    Example:
        >>> quantizer = BSQ(bits=4)
        >>> output = quantizer(torch.tensor([[[0.5], [-2.0], [0.1], [9.0]]]))
        >>> output.codes.item(), output.z_q[0, :, 0].tolist()
        (11, [0.5, -0.5, 0.5, 0.5])
    """

    def __init__(
        self,
        bits: int,
        temperature: float = 0.01,
        group: int | None = None,
        estimator: GradientEstimator | None = None,
    ) -> None:
        super().__init__(bits, max(bits, 1) ** -0.5, temperature, group, estimator)

    def place(self, z: Tensor) -> Tensor:
        """Return the frames brought to unit length; a frame of zeros stays one."""
        return F.normalize(z, dim=1)


def _outer(p: Tensor) -> Tensor:
    """Return the joint probabilities ``(B, G, T, 2^g)`` of independent bits ``(B, G, g, T, 2)``, the first highest."""
    joint = p[:, :, 0]
    for bit in p.unbind(2)[1:]:
        joint = (joint.unsqueeze(-1) * bit.unsqueeze(-2)).flatten(-2)
    return joint


def _default_group(bits: int) -> int:
    return next(width for width in range(min(bits, 10), 0, -1) if not bits % width)
