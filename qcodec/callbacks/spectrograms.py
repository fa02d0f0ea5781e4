"""Clips before and after the codec."""

from typing import final

from matplotlib.figure import Figure
from torch import Tensor

from qcodec.callbacks.figures import ProbeFigure
from qcodec.codecs.base import AudioCodec
from qcodec.figures.spectrogram import spectrogram_figure


@final
class Spectrograms(ProbeFigure):
    """Draws the spectrogram of each clip above that of what the codec decodes, ``spectrogram_N`` of clip ``N``."""

    def draw(self, codec: AudioCodec, audio: Tensor) -> dict[str, Figure]:
        """Draw the figures of clips ``(B, 1, L)``."""
        before, after = (signal.detach().float().cpu().numpy() for signal in (audio, codec(audio).audio))
        return {
            f"spectrogram_{index + 1}": spectrogram_figure({"original": x[0], "decoded": y[0]}, codec.sample_rate)
            for index, (x, y) in enumerate(zip(before, after, strict=True))
        }
