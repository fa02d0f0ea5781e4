"""What is read from figures, for the tests."""

import io

from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[str]:
    drawn = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text.get_text() for text in drawn if text.get_text()]


def width_in_pixels(figure: Figure) -> int:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return int.from_bytes(picture.getvalue()[16:20], "big")
