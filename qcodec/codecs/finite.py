"""Codecs whose weights or output are no numbers are found before anything is written with them."""

from torch import Tensor, nn


def check_weights(codec: nn.Module) -> None:
    """Check that all weights and buffers are finite.

    Raises:
        ValueError: With the first one that is not, and the remedy.
    """
    for name, value in codec.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f"the codec's weight {name} holds values that are not finite, so that it codes nothing: its training "
                "diverged; take an earlier checkpoint"
            )


def check_output(part: str, value: Tensor) -> None:
    """Check that what the encoder or decoder returns is finite.

    Raises:
        ValueError: Where it is not.
    """
    if not value.isfinite().all():
        raise ValueError(
            f"the {part}'s output holds values that are not finite: the codec diverged, or the audio is far beyond "
            "full scale"
        )
