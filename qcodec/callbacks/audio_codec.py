"""The audio codec of the task that a callback watches."""

from lightning import LightningModule

from qcodec.codecs.base import AudioCodec


def audio_codec(task: LightningModule, callback: str) -> AudioCodec:
    """Return a task's ``codec``.

    Raises:
        ValueError: For a task without an ``AudioCodec`` of that name.
    """
    codec = getattr(task, "codec", None)
    if not isinstance(codec, AudioCodec):
        raise ValueError(f"{type(task).__name__} has no AudioCodec as `codec`: leave {callback} out")
    return codec
