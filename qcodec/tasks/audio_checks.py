"""What a task on audio refuses."""

from collections.abc import Sequence

from torch import Tensor

from qcodec.codecs.base import AudioCodec
from qcodec.losses.adversarial import Adversary
from qcodec.losses.weights import LossWeights
from qcodec.metrics.base import CodecMetric
from qcodec.quantizers.checks import check_is
from qcodec.schedules import Schedule


def check_batch(audio: object) -> None:
    """Raise ``ValueError`` for what is no batch ``(B, 1, L)``."""
    if not isinstance(audio, Tensor) or audio.dim() != 3 or audio.shape[1] != 1:
        served = tuple(audio.shape) if isinstance(audio, Tensor) else type(audio).__name__
        raise ValueError(f"an audio codec trains on audio (B, 1, L), and the data are {served}: take AudioFolder")


def check_parts(codec: object, losses: object, schedule: object, adversary: object, metrics: Sequence[object]) -> None:
    """Raise ``TypeError`` for a part that is none."""
    check_is(codec, AudioCodec, "codec")
    check_is(losses, LossWeights, "losses")
    check_is(schedule, Schedule, "schedule")
    if adversary is not None:
        check_is(adversary, Adversary, "adversary")
    for index, metric in enumerate(metrics):
        check_is(metric, CodecMetric, f"metrics[{index}]")
