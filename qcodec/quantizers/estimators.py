"""Gradient estimators: what the decoder sees in training, and which gradient the encoder gets."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn

from qcodec.functional import modified_straight_through, noise_approximation, straight_through
from qcodec.quantizers.codebooks import Codebook
from qcodec.quantizers.rebuild import Rebuildable
from qcodec.random_streams import in_common, normal_like, uniform_like

Scope = Literal["tensor", "sample", "channel", "frame"]
_DIMS: dict[str, tuple[int, ...]] = {"tensor": (0, 1, 2), "sample": (1, 2), "channel": (2,), "frame": (1,)}


def scope_dims(scope: str) -> tuple[int, ...]:
    """Return the dimensions of ``(B, D, T)`` that share one statistic: tensor, sample, channel or frame.

    Example:
        >>> scope_dims("channel")
        (2,)
    """
    if scope not in _DIMS:
        raise ValueError(f"scope {scope!r} is unknown: choose one of {', '.join(_DIMS)}")
    return _DIMS[scope]


@dataclass(frozen=True)
class Selected:
    """What an estimator chooses from a codebook for an embedding ``(B, D, T)``.

    Attributes:
        codes: ``(B, N, T)`` int64, with N of the codebook.
        z_q: ``(B, D, T)`` the points of the codes, attached to the codebook.
        z_hat: ``(B, D, T)`` what the decoder sees.
    """

    codes: Tensor
    z_q: Tensor
    z_hat: Tensor


class Estimator(Rebuildable, ABC, nn.Module):
    """Chooses codes and what the decoder sees, and so replaces a derivative that is zero almost everywhere.

    The one slot of a quantizer, in two families: ``GradientEstimator`` takes the nearest point and works from the
    embedding and that point alone; others choose by the codebook's ``logits``. In evaluation every estimator takes the
    nearest point and returns it detached.

    Attributes:
        exact: Whether ``z_hat`` equals ``z_q`` in training.
    """

    exact: ClassVar[bool] = False

    @property
    def entries_independent(self) -> bool:
        """Whether it keeps to what ``Quantizer.entries_independent`` asks; a subclass that can promise it says so."""
        return False

    @abstractmethod
    def select(self, z: Tensor, codebook: Codebook) -> Selected:
        """Choose points of ``codebook`` for ``z`` ``(B, N d, T)``."""


class GradientEstimator(Estimator, ABC):
    """An estimator that needs the embedding and its quantized value alone; a subclass writes ``estimate``.

    ``z_q`` reaches ``estimate`` attached to its codebook. Whether a gradient is passed there is the estimator's own
    matter; one that passes none leaves the codebook to its loss or to its averages.
    """

    exact = True

    @final
    def select(self, z: Tensor, codebook: Codebook) -> Selected:
        """Choose the nearest points."""
        codes, z_q = codebook.quantize(z)
        return Selected(codes, z_q, self(z, z_q))

    @final  # type: ignore[misc]  # torch declares `forward` as an attribute
    def forward(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the decoder's input ``(B, D, T)``: the estimate in training, ``z_q`` detached in evaluation."""
        if z.shape != z_q.shape or z.dim() != 3:
            raise ValueError(
                f"an estimator takes two tensors of one shape (B, D, T), not {tuple(z.shape)} and {tuple(z_q.shape)}"
            )
        return self.estimate(z, z_q) if self.training else z_q.detach()

    @abstractmethod
    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the decoder's input in training for the embedding ``z`` and its quantized value ``z_q``."""


@final
class STE(GradientEstimator):
    """Straight-through estimator (Bengio et al., arXiv 1308.3432): the gradient passes as if nothing were quantized.

    Example:
        >>> import torch
        >>> z = torch.randn(1, 2, 3, requires_grad=True)
        >>> z_q = z.detach().round()
        >>> bool((STE()(z, z_q) == z_q).all())
        True
    """

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return ``z_q`` with the gradient of the identity."""
        return straight_through(z, z_q)


@final
class NoGradient(GradientEstimator):
    """The quantized value without any gradient, for quantizers whose estimator acts around them.

    Example:
        >>> import torch
        >>> NoGradient()(torch.ones(1, 1, 1, requires_grad=True), torch.zeros(1, 1, 1)).requires_grad
        False
    """

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return ``z_q`` detached."""
        return z_q.detach()


@final
class ModifiedSTE(GradientEstimator):
    """Modified straight-through estimator, mSTE (arXiv 2502.04770, eq. 10-11).

    The encoder's gradient loses its part along the quantization error, so that the encoder cannot lower the loss by
    making the error relatively smaller, that is, by growing without bound.

    Args:
        scope: Which values share one magnitude: the whole ``tensor``, each ``sample`` of the batch, each ``channel``
            of a sample, or each ``frame`` of a sample.
        magnitude: ``std`` as in the paper, or ``rms``, with which the gradient is exactly the projection off the error.
        trains_codebook: Whether the magnitude is attached to the quantized value too, so that a learned codebook gets
            the part of the gradient along the error that the encoder loses; the paper leaves it open.

    Raises:
        ValueError: For an unknown scope or magnitude.
    """

    def __init__(
        self, scope: Scope = "sample", magnitude: Literal["std", "rms"] = "std", trains_codebook: bool = False
    ) -> None:
        super().__init__()
        self.dims = scope_dims(scope)
        self.trains_codebook = trains_codebook
        if magnitude not in ("std", "rms"):
            raise ValueError(f"magnitude {magnitude!r} is unknown: choose 'std' or 'rms'")
        self.scope, self.magnitude = scope, magnitude

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: not where one magnitude spans them."""
        return 0 not in self.dims

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return ``z_q`` with the gradient of mSTE."""
        q = z_q if self.trains_codebook else z_q.detach()
        return modified_straight_through(z, q, self.dims, self.magnitude)


class _NoiseEstimator(GradientEstimator, ABC):
    """What the two noise approximations share: the draw of the noise and of its level.

    A level in dB is drawn uniformly from ``enr_db`` for every ``draw`` (a scope), and sets the amplitude ``a`` by the
    ``reading``.
    """

    exact = False

    def __init__(
        self,
        enr_db: tuple[float, float] = (0.0, 8.0),
        reading: Literal["relative", "absolute"] = "relative",
        scope: Scope = "sample",
        draw: Scope = "sample",
    ) -> None:
        super().__init__()
        if len(enr_db) != 2 or not enr_db[0] <= enr_db[1]:
            raise ValueError(f"enr_db {tuple(enr_db)} is no range: give (lowest, highest) in dB")
        if reading not in ("relative", "absolute"):
            raise ValueError(f"reading {reading!r} is unknown: choose 'relative' or 'absolute'")
        self.dims, self.draw_dims = scope_dims(scope), scope_dims(draw)
        self.enr_db, self.reading = (float(enr_db[0]), float(enr_db[1])), reading

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: not where a deviation or a draw spans them."""
        return 0 not in self.dims and 0 not in self.draw_dims

    def _gain(self, z: Tensor) -> Tensor:
        shape = [1 if d in self.draw_dims else n for d, n in enumerate(z.shape)]
        low, high = self.enr_db
        if 0 in self.draw_dims:  # one draw for all clips, wherever they are
            drawn = in_common(lambda: torch.rand(*shape, dtype=z.dtype, device=z.device))
        else:
            drawn = uniform_like(z, shape)
        level = low + (high - low) * drawn
        if self.reading == "relative":
            return 10 ** (-level / 20)
        return 10 ** (level / 20) / z.detach().std(self.dims, keepdim=True)


@final
class NoiseApproximation(_NoiseEstimator):
    """Noise approximation, NA (arXiv 2502.04770, eq. 4, 5 and 12): noise in proportion to the embedding's deviation.

    ``z + a * std(z) * n`` with ``n ~ N(0, 1)``; the gradient passes through ``std(z)`` too, so growing the embedding
    gains nothing.

    Args:
        enr_db: Range of a level in dB, drawn uniformly.
        reading: What the level is. ``relative``: the embedding-to-noise ratio, ``a = 10 ** (-level / 20)``.
            ``absolute``: the paper's formula to the letter, ``20 log10(a std(z)) = level``, noise of amplitude 1 to 2.5
            for the default range, whatever the embedding (its deviation is taken detached here).
        scope: Which values share one standard deviation.
        draw: Which values share one drawn ratio.

    Raises:
        ValueError: For an unknown scope, draw or reading, or a range the wrong way round.
    """

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the noisy embedding, attached to ``std(z)``."""
        return noise_approximation(z, normal_like(z), self._gain(z), self.dims)


@final
class DetachedNoiseApproximation(_NoiseEstimator):
    """Noise approximation with detached noise, NA_det (arXiv 2502.04770, eq. 13): ``z + sg[a * std(z) * n]``.

    The gradient is that of the identity; arguments and errors are those of ``NoiseApproximation``.
    """

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the noisy embedding with the gradient of the identity."""
        noisy = noise_approximation(z.detach(), normal_like(z), self._gain(z), self.dims)
        return z + (noisy - z.detach())
