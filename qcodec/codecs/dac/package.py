"""What is used of the package ``dac``, imported and built without the warnings of a newer torch."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

with warnings.catch_warnings():  # torch 2.11 on dac 1.0.0; what its dependencies change in the filters is undone too
    warnings.filterwarnings("ignore", ".*torch.jit.script.* is deprecated", DeprecationWarning)
    from dac import DAC
    from dac.model.dac import Decoder, Encoder, init_weights
    from dac.model.discriminator import BANDS, Discriminator
    from dac.nn.layers import Snake1d
    from dac.nn.quantize import VectorQuantize

__all__ = [
    "BANDS",
    "DAC",
    "Decoder",
    "Discriminator",
    "Encoder",
    "Snake1d",
    "VectorQuantize",
    "init_weights",
    "published_weight_norm",
]


@contextmanager
def published_weight_norm() -> Iterator[None]:
    """Return a context in which layers of ``dac`` are built without a warning."""
    with warnings.catch_warnings():  # dac 1.0.0 was written for the function that torch has since renamed
        warnings.filterwarnings("ignore", ".*torch.nn.utils.weight_norm.* is deprecated", FutureWarning)
        yield
