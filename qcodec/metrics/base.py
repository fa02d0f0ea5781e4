"""The one interface of a metric of an audio codec."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from qcodec.codecs.base import AudioOutput
from qcodec.runs.schema import Metric


class CodecMetric(ABC, nn.Module):
    """A metric of an audio codec over a stretch of batches.

    A subclass states its ``descriptions`` and holds its sums in metrics of ``torchmetrics`` as attributes, its own or
    the library's. The stretch's window resets them, adds them over the ranks and writes them into checkpoints; other
    state has to be fixed. ``update`` runs on the device without gradients and should not wait for it (no ``.item()``).
    Nothing in a metric is trained: weights of a network in it need ``requires_grad_(False)``.

    Example:
        >>> from torchmetrics import MeanMetric
        >>> class Peak(CodecMetric):
        ...     descriptions = (Metric("peak", "Peak of the decoded audio", "peak"),)
        ...
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.mean = MeanMetric()
        ...
        ...     def update(self, output, audio):
        ...         self.mean.update(output.audio.abs().amax(-1))
        ...
        ...     def compute(self):
        ...         return self.mean.compute()
    """

    @property
    @abstractmethod
    def descriptions(self) -> tuple[Metric, ...]:
        """What its values are: name, title, axis, unit and direction of each; an attribute of the class will do."""

    @abstractmethod
    def update(self, output: AudioOutput, audio: Tensor) -> None:
        """Add one batch.

        Args:
            output: The codec's output, ``(B, 1, L)`` its audio.
            audio: ``(B, 1, L)`` the original.
        """

    @abstractmethod
    def compute(self) -> Tensor | dict[str, Tensor]:
        """Return the scalar of its one description, or scalars by the names of its descriptions.

        A name may be left out where there was nothing to measure; the subclass's docstring says when.
        """
