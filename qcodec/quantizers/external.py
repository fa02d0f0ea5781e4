"""Quantizers of the package vector-quantize-pytorch."""

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from importlib import import_module
from itertools import chain
from typing import Any, final

import torch
from torch import Tensor, nn

from qcodec.layers.weight_norm import full_precision
from qcodec.quantizers.base import Quantizer, QuantizerOutput, check_codes, check_embedding
from qcodec.quantizers.receptive_field import ReceptiveField
from qcodec.rate import code_bits

_PACKAGE = "vector_quantize_pytorch"
_LAYOUT = ("accept_3d_fmap", "accept_image_fmap", "channel_first", "channel_last", "is_channel_first")

_REFUSED = {"HierarchicalVQ": "has codes of several rates", "LatentQuantize": "takes channels before frames"}


def _grouped(module: Any) -> tuple[int, ...]:
    return tuple(size for part in module.rvqs for size in _SIZES[type(part).__name__](part))


_SIZES: Mapping[str, Callable[[Any], tuple[int, ...]]] = {
    "VectorQuantize": lambda module: (module.codebook_size,) * module.heads,
    "ResidualVQ": lambda module: tuple(module.codebook_sizes),
    "FSQ": lambda module: (module.codebook_size,) * module.num_codebooks,
    "ResidualFSQ": lambda module: (module.codebook_size,) * module.num_quantizers,
    "LFQ": lambda module: (module.codebook_size,) * module.num_codebooks,
    "SimVQ": lambda module: (module.codebook_size,),
    "GroupedResidualVQ": _grouped,
    "GroupedResidualFSQ": _grouped,
}


@final
class VectorQuantizePytorch(Quantizer):
    """A class of vector-quantize-pytorch, by its name and arguments (the extra ``zoo`` installs the package).

    The decoder input in training, and gradients, are the package's. In evaluation it is what the codes decode to, as
    the package's own may be off by rounding. The package's weighted sum of losses is the loss ``auxiliary``, the same
    for all clips of a batch: weight it by 1. Codes can be written to a file for ``VectorQuantize``, ``ResidualVQ``,
    ``FSQ``, ``ResidualFSQ``, ``LFQ``, ``SimVQ`` and the grouped residual ones; for others ``code_sizes`` is ``None``,
    and ``bits`` are NaN.

    Promises that its classes break:

    * ``VectorQuantize``, and what is made of it, and ``SimVQ`` use the rotation trick unless ``rotation_trick=False``;
      codebooks are moved within the call, so that codes of an update decode to points that have moved on.
    * ``z_q`` in training is the decoder input, detached: off by rounding, and noisy where the class adds noise.
    * ``LFQ`` takes the entropy of its own rank's mean, as it drops the result of ``all_reduce``, and still divides it
      by the number of ranks.
    * The package asks once in a process whether there are several ranks, where a class is built or first called, and
      keeps the answer: start the ranks before. ``LFQ`` and ``qcodec.LFQ`` differ over ranks for both reasons.
    * Losses depend on the whole batch, and random numbers are torch's global ones, so that seeds side by side differ
      from a seed alone: ``entries_independent`` is false.
    * ``LFQ`` with ``spherical=True`` holds a function that cannot be pickled.
    * ``ResidualVQ`` with ``quantize_dropout`` draws one depth for the batch, and has no rate dial here.

    Args:
        name: Name of the class.
        arguments: Arguments of its constructor, plain data; frames come last there, so none may change the layout.

    Raises:
        ImportError: Where the package is not installed.
        ValueError: For an unknown class, one whose codes cannot be decoded or have several rates, or an argument that
            changes the layout.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("vector_quantize_pytorch")
        >>> quantizer = VectorQuantizePytorch("FSQ", {"levels": [8, 5, 5]}).eval()
        >>> output = quantizer(torch.randn(2, 3, 10))
        >>> output.codes.shape, quantizer.code_sizes(3)
        (torch.Size([2, 1, 10]), (200,))
    """

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        super().__init__()
        if changed := sorted(set(arguments) & set(_LAYOUT)):
            raise ValueError(f"{changed} change the layout of {name}, which is fixed here: leave them out")
        self.name = name
        self.module: nn.Module = _class_named(name)(**deepcopy(arguments))
        self._sizes = _SIZES[name](self.module) if name in _SIZES else None

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """No frame but the one itself, for classes of which that is known."""
        return None if self._sizes is None else ReceptiveField()

    def code_sizes(self, channels: int) -> tuple[int, ...] | None:
        """Return the number of codes of each of a frame's, where it is known."""
        return self._sizes

    def forward(self, z: Tensor, *, features: Tensor | None = None, level: float | None = None) -> QuantizerOutput:
        """Quantize ``z``."""
        check_embedding(z, f"VectorQuantizePytorch {self.name}", level)
        with full_precision(z):
            returned = self.module(z.to(self._dtype()).transpose(1, 2))
            frames, indices, *rest = returned
            codes = self._from_package(indices, z.shape[0])
            z_hat = frames.transpose(1, 2) if self.training else self.decode(codes)
        bits = _bits(codes, self._sizes)
        losses = {"auxiliary": rest[0].sum().expand(z.shape[0])} if rest and isinstance(rest[0], Tensor) else {}
        z_hat = z_hat.to(z.dtype)
        return QuantizerOutput(z_hat, codes, bits, losses, z_hat.detach())

    def decode(self, codes: Tensor) -> Tensor:
        """Return the embedding ``(B, D, T)`` of codes ``(B, N, T)``."""
        owner = f"VectorQuantizePytorch {self.name}"
        check_codes(codes, owner)
        if self._sizes is not None and codes.shape[1] != len(self._sizes):
            raise ValueError(f"{owner} has {len(self._sizes)} codes a frame, not {codes.shape[1]}")
        check_codes(codes, owner, self._sizes, lowest=-1)
        indices = codes.transpose(1, 2)
        if (groups := getattr(self.module, "groups", None)) is not None:
            indices = indices.view(*indices.shape[:2], groups, -1).permute(2, 0, 1, 3)
        elif indices.shape[2] == 1 and not self._keeps_one():
            indices = indices[..., 0]
        with full_precision(codes):
            frames: Tensor = _decoder(self.module)(indices)
        return frames.transpose(1, 2)

    def _keeps_one(self) -> bool:
        """Return whether the class has a dimension for the codes of a frame although there is one."""
        return bool(getattr(self.module, "keep_num_codebooks_dim", hasattr(self.module, "layers")))

    def _from_package(self, indices: Tensor, batch: int) -> Tensor:
        """Bring ``(B, T)``, ``(B, T, N)`` or ``(G, B, T, N)`` to ``(B, N, T)``, one group after the other."""
        if indices.dim() == 4:
            indices = indices.permute(1, 2, 0, 3).flatten(2)
        return (indices.unsqueeze(1) if indices.dim() == 2 else indices.transpose(1, 2)).long()

    def _dtype(self) -> torch.dtype:
        tensors = chain(self.module.parameters(), self.module.buffers())
        return next((each.dtype for each in tensors if each.is_floating_point()), torch.float32)


def _class_named(name: str) -> Callable[..., nn.Module]:
    try:
        package = import_module(_PACKAGE)
    except ImportError:
        raise ImportError(
            f"{name} is a class of vector-quantize-pytorch, which is not installed: pip install 'qcodec[zoo]'"
        ) from None
    kinds = {key: kind for key, kind in vars(package).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    usable = {key: kind for key, kind in kinds.items() if key not in _REFUSED and _decoder(kind) is not None}
    if name not in usable:
        reason = _REFUSED.get(name, "cannot decode its codes") if name in kinds else "is not there"
        raise ValueError(f"{name} {reason} in vector-quantize-pytorch: choose one of {', '.join(sorted(usable))}")
    return usable[name]


def _decoder(module: Any) -> Any:
    """Return what makes an embedding of codes, or ``None``; ``SimVQ`` and ``LFQ`` call it by another name."""
    return getattr(module, "get_output_from_indices", getattr(module, "indices_to_codes", None))


def _bits(codes: Tensor, sizes: tuple[int, ...] | None) -> Tensor:
    """Return the bits ``(B, T)`` of the codes that are sent; NaN for unknown sizes."""
    if sizes is None:
        return torch.full_like(codes[:, 0], torch.nan, dtype=torch.float32)
    costs = torch.tensor([code_bits(size) for size in sizes], device=codes.device)
    return ((codes >= 0) * costs[:, None]).sum(1)
