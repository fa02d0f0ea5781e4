"""The mathematics of quantizers and gradient estimators as pure functions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from qcodec.kernels.autograd import (
    MeanSquaredError,
    ModifiedStraightThrough,
    NoiseApproximation,
    StraightThrough,
    add_noise,
    apply_function,
)
from qcodec.kernels.elementwise import elementwise, rows_apart


def nearest_level(z: Tensor, levels: int, step: float = 1.0) -> tuple[Tensor, Tensor]:
    """Quantize each value to the nearest of ``levels`` equally spaced levels that lie symmetrically about zero.

    Level ``k`` is ``(k - (levels - 1) / 2) * step``; a value half-way between two levels goes to the upper one.

    Args:
        z: Values of any shape and floating dtype; computed in float32 or wider.
        levels: Number of levels.
        step: Distance between neighbouring levels, in units of ``z``.

    Returns:
        The level's index (int64) and its value (dtype of ``z``), both shaped as ``z``. A NaN keeps its NaN value.

    Example:
        >>> index, value = nearest_level(torch.tensor([-3.0, -0.2, 0.0, 0.9]), levels=4)
        >>> index.tolist(), value.tolist()
        ([0, 1, 2, 2], [-1.5, -0.5, 0.5, 0.5])
    """
    if not z.requires_grad and (kernels := elementwise(z)):
        return kernels.nearest_level(z, levels, step)
    wide = z if z.dtype in (torch.float32, torch.float64) else z.float()
    scaled = wide if step == 1 else wide / step
    index = (scaled + levels / 2).floor_().clamp_(0, levels - 1)
    value = level_value(index, levels, step)
    return index.nan_to_num_(0.0).long(), value.to(z.dtype)


def level_value(index: Tensor, levels: int, step: float = 1.0) -> Tensor:
    """Return the value ``(index - (levels - 1) / 2) * step`` of a level, in the index's dtype or the default one."""
    centred = index - (levels - 1) / 2
    return centred if step == 1 else centred * step


def nearest_code(z: Tensor, codebook: Tensor, metric: str = "cosine") -> tuple[Tensor, Tensor]:
    """Find for each frame the code vector that is nearest to it; of several equally near ones the first.

    With ``metric="cosine"`` frames and code vectors are brought to unit length before their Euclidean distances are
    taken, as the Descript Audio Codec does (arXiv 2306.06546, section 3.2); the vector that is returned keeps its
    length. The search is done in float32 or wider and passes no gradient; the returned vector is attached to
    ``codebook``.

    Args:
        z: ``(B, d, T)`` embedding.
        codebook: ``(K, d)`` code vectors.
        metric: ``"cosine"`` or ``"euclidean"``.

    Returns:
        The code's index ``(B, T)``, int64, and its vector ``(B, d, T)`` in the codebook's dtype.

    Raises:
        ValueError: For another ``metric``.

    Example:
        >>> codebook = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> z = torch.tensor([[[0.5], [0.4]]])
        >>> [nearest_code(z, codebook, metric)[0].item() for metric in ("cosine", "euclidean")]
        [0, 1]
    """
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"metric {metric!r} is unknown: choose 'cosine' or 'euclidean'")
    with torch.no_grad():
        wide = torch.promote_types(z.dtype, torch.float32)
        frames, codes = z.transpose(1, 2).flatten(0, 1).to(wide), codebook.to(wide)
        if metric == "cosine":
            frames, codes = F.normalize(frames), F.normalize(codes)
        distance = (2 * frames @ codes.t()).neg_()
        distance += frames.square().sum(1, keepdim=True)
        distance += codes.square().sum(1)
        index = distance.argmin(1).view(z.shape[0], z.shape[2])
    return index, F.embedding(index, codebook).transpose(1, 2)


def mean_absolute(z: Tensor) -> Tensor:
    """Return the mean absolute value per sample of ``(B, D, T)``, the MA-E of arXiv 2502.04770, section 4: ``(B,)``."""
    if not z.requires_grad and (rows := rows_apart(z, (1, 2))) and (kernels := elementwise(z)):
        return kernels.mean_absolute(z, rows)
    total: Tensor = torch.linalg.vector_norm(z, ord=1, dim=(1, 2))
    return total / z[0].numel()


def mean_squared_error(x: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error per sample of ``(B, D, T)`` tensors, ``(B,)``; ``target`` gets no gradient.

    There may be fewer targets, ``(S, D, T)``, where ``S`` divides ``B``: sample ``b`` is then held against target
    ``b % S``.

    Raises:
        ValueError: For other shapes.

    Example:
        >>> mean_squared_error(torch.ones(4, 1, 3), torch.tensor([0.0, 3.0]).view(2, 1, 1).expand(2, 1, 3))
        tensor([1., 4., 1., 4.])
    """
    if x.dim() != 3 or x.shape[1:] != target.shape[1:] or not len(target) or len(x) % len(target):
        raise ValueError(
            f"{tuple(x.shape)} and {tuple(target.shape)} are no samples and targets: give (B, D, T) and (S, D, T), "
            "where S divides B"
        )
    return apply_function(MeanSquaredError, x, target)


def gradient_gain(grad_z: Tensor, grad_z_hat: Tensor) -> Tensor:
    """Compute the factor by which a quantizer scales the gradient on its way back to the encoder, per sample: ``(B,)``.

    ``|dL/dz| / |dL/dz_hat|`` in Euclidean norms over ``(D, T)``. One for a straight-through estimator around the whole
    quantizer; in a residual quantizer it depends on where the residual is detached. To measure it, call
    ``retain_grad`` on the quantizer's input and on its ``z_hat`` before the backward pass.

    Args:
        grad_z: ``(B, D, T)`` gradient at the quantizer's input.
        grad_z_hat: ``(B, D, T)`` gradient at its output; where it is zero the gain is NaN.

    Example:
        >>> gradient_gain(torch.full((1, 2, 3), 0.5), torch.ones(1, 2, 3))
        tensor([0.5000])
    """
    below: Tensor = torch.linalg.vector_norm(grad_z_hat, dim=(1, 2), dtype=torch.float32)
    above: Tensor = torch.linalg.vector_norm(grad_z, dim=(1, 2), dtype=torch.float32)
    return (above / below).masked_fill(below == 0, torch.nan)


def straight_through(z: Tensor, z_q: Tensor) -> Tensor:
    """Return ``z_q`` exactly, with the gradient of the output handed to ``z`` unchanged.

    The usual ``z + (z_q - z).detach()`` differs from ``z_q`` by rounding, up to 2e-3 in bfloat16.

    Args:
        z: Embedding, any shape.
        z_q: Quantized embedding, shaped as ``z``; gets no gradient.

    Example:
        >>> z = torch.tensor([0.3], requires_grad=True)
        >>> (2 * straight_through(z, torch.tensor([0.5]))).backward()
        >>> z.grad.item()
        2.0
    """
    return apply_function(StraightThrough, z, z_q)


def modified_straight_through(z: Tensor, z_q: Tensor, dims: Sequence[int], magnitude: str = "std") -> Tensor:
    r"""Return ``z_q`` exactly, with the gradient of the modified straight-through estimator.

    The estimator's training forward (arXiv 2502.04770, eq. 10-11) is ``z + sg[q] * sigma / sg[sigma]`` with
    ``q = z_q - z`` and ``sigma`` the standard deviation of ``q``; its value is ``z_q``. With ``g`` the
    gradient of the output, the gradient of ``z`` is

    * ``magnitude="std"``: ``g - (q - mean q) <g, q> / sum (q - mean q)^2``,
    * ``magnitude="rms"``: ``g - q <g, q> / sum q^2``, the projection of ``g`` off ``q``,

    where means, sums and inner products run over ``dims``. It is computed directly in float32 or wider; where ``sigma``
    is zero or lost in rounding (the limit has no value) the gradient is ``g``.

    Args:
        z: Embedding.
        z_q: Quantized embedding, shaped as ``z``; where it is attached it gets ``g`` less the gradient of ``z``.
        dims: Dimensions that share one ``sigma``.
        magnitude: ``"std"`` or ``"rms"``.

    Raises:
        ValueError: For another ``magnitude``.
    """
    if magnitude not in ("std", "rms"):
        raise ValueError(f"magnitude {magnitude!r} is unknown: choose 'std' or 'rms'")
    return apply_function(ModifiedStraightThrough, z, z_q, tuple(dims), magnitude == "std")


def noise_approximation(z: Tensor, noise: Tensor, gain: Tensor, dims: Sequence[int]) -> Tensor:
    """Add noise scaled by the embedding's standard deviation: ``z + gain * std(z) * noise`` (arXiv 2502.04770, eq. 12).

    With ``g`` the gradient of the output, the gradient of ``z`` is
    ``g + (z - mean z) / ((n - 1) std(z)) * sum(gain * g * noise)`` over the ``n`` values of ``dims``.

    Args:
        z: Embedding.
        noise: Standard normal noise, shaped as ``z``.
        gain: Noise-to-embedding amplitude ratio, broadcastable to ``z``.
        dims: Dimensions over which the standard deviation is taken.
    """
    one_each = z.shape[: z.dim() - len(dims)] + (1,) * len(dims)
    constant = not noise.requires_grad and not gain.requires_grad
    suitable = constant and rows_apart(z, dims) and gain.shape == one_each and elementwise(gain)
    if suitable and (kernels := elementwise(z, noise)):
        return apply_function(NoiseApproximation, kernels, z, noise, gain, tuple(dims))
    return add_noise(z, noise, gain, dims)


def project_to_simplex(x: Tensor) -> Tensor:
    """Find the nearest point of the probability simplex: entries of 0 or more that sum to 1 over the last dimension.

    ``max(x - tau, 0)`` with the one ``tau`` for which it sums to 1, found by sorting (Held, Wolfe and Crowder,
    Mathematical Programming 6, 1974).

    Args:
        x: ``(..., K)`` floating; computed in float32 or wider.

    Example:
        >>> project_to_simplex(torch.tensor([0.5, 1.5, -3.0]))
        tensor([0., 1., 0.])
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    shifted = wide - wide.amax(-1, keepdim=True)
    descending = shifted.sort(-1, descending=True).values
    excess = descending.cumsum(-1) - 1
    counts = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=wide.dtype)
    kept = (
        (counts * descending > excess).sum(-1, keepdim=True).clamp_min(1)
    )  # none where a value is nan, as the result is
    tau = excess.gather(-1, kept - 1) / kept
    return (shifted - tau).clamp_min(0).to(x.dtype)


def soft_step(x: Tensor, sharpness: float) -> Tensor:
    r"""Rise smoothly from 0 to 1 about ``x = 0`` (arXiv 2410.06016, the surrogate of its importance mask).

    ``f_a(x) = ln[cosh(a (x + 1/2)) / cosh(a (x - 1/2))] / (2 a) + 1/2`` with ``a`` the ``sharpness``; its derivative is
    ``(tanh(a (x + 1/2)) - tanh(a (x - 1/2))) / 2``. For large ``a`` it is a ramp from -1/2 to 1/2. With ``s(t)`` for
    ``ln(1 + e^t)`` it is computed as ``[s(a (2 x + 1)) - s(a (2 x - 1))] / (2 a)`` for ``x <= 0`` and as
    ``1 - f_a(-x)`` above, in float32 or wider: exact to rounding, and finite with its gradient, for every ``x``.

    Args:
        x: Values of any shape and floating dtype.
        sharpness: ``a``, positive.

    Example:
        >>> soft_step(torch.tensor([-1e30, -0.5, 0.0, 0.5, 1e30]), sharpness=2.0)
        tensor([0.0000, 0.1687, 0.5000, 0.8313, 1.0000])
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    above = wide > 0
    scaled, zero = 2 * sharpness * torch.where(above, -wide, wide), wide.new_zeros(())
    rise = torch.logaddexp(scaled + sharpness, zero) - torch.logaddexp(scaled - sharpness, zero)
    below = rise / (2 * sharpness)
    return torch.where(above, 1 - below, below).to(x.dtype)


def leading_mask(depth: Tensor, stages: int, sharpness: float) -> Tensor:
    """Mask the leading stages: 1 where ``depth >= k`` for stage ``k``, else 0; gradients of ``soft_step(depth - k)``.

    So ``min(floor(depth) + 1, stages)`` leading stages are sent: never none (arXiv 2410.06016). The values are exactly
    0 and 1; the gradient is that of ``f + sg[m - f]``. A NaN counts as full depth.

    Args:
        depth: ``(B, T)`` real depths, not negative.
        stages: Number of stages, N_q.
        sharpness: Of ``soft_step``.

    Returns:
        ``(B, N_q, T)`` in the dtype of ``depth``.

    Example:
        >>> leading_mask(torch.tensor([[0.0, 0.9, 1.0, 7.5]]), stages=3, sharpness=2.0).sum(1)
        tensor([[1., 1., 2., 3.]])
    """
    offset = depth.unsqueeze(1) - torch.arange(stages, device=depth.device, dtype=depth.dtype)[:, None]
    return straight_through(soft_step(offset, sharpness), (~(offset < 0)).to(depth.dtype))
