"""Noise substitution in vector quantization."""

from typing import final

from torch import Tensor

from qcodec.quantizers.diveq import at_distance, frame_error
from qcodec.quantizers.estimators import GradientEstimator
from qcodec.random_streams import normal_like


@final
class NSVQ(GradientEstimator):
    r"""Noise substitution, NSVQ (Vali and Backstrom, IEEE Access 10, 2022): noise takes the place of the error.

    With ``c`` the nearest point and ``v ~ N(0, I)`` drawn for each frame, the decoder sees ``z + ||c - z|| sg[v /
    ||v||]``, norms over the features of a frame: any point as far from ``z`` as ``c`` is. The gradient reaches the
    encoder and the codebook through ``||c - z||``: with ``g`` the gradient of the output and ``e = c - z``, ``z`` gets
    ``g - <g, v/||v||> e / ||e||`` and ``c`` gets ``<g, v/||v||> e / ||e||``; without an error ``z`` gets ``g``.
    Computed in float32 or wider. Points that no frame chooses learn nothing; the paper replaces them from time to time.

    Example:
        >>> import torch
        >>> z, c = torch.zeros(1, 2, 1), torch.tensor([[[3.0], [4.0]]])
        >>> round(NSVQ()(z, c).norm().item(), 4)
        5.0
    """

    exact = False

    @property
    def entries_independent(self) -> bool:
        """Whether batch entries are treated apart: always."""
        return True

    def estimate(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return a point at the distance of ``z_q`` from ``z``, in a random direction."""
        return at_distance(z, z_q, normal_like(frame_error(z, z_q).detach()))
