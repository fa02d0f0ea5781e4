"""The figure of mel distance against rate."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from qcodec.figures import style as style
from qcodec.figures.words import cut, short
from qcodec.runs.read import FloatArray


@style.styled
def rate_mel(curves: Mapping[str, tuple[FloatArray, FloatArray]], *, title: str, note: str = "") -> Figure:
    """Draw the mel distance of each model against its rate, a point for each level.

    Args:
        curves: For each model its ``(levels,)`` rates in kbps, rising, and mel distances.
        title: Written above.
        note: Written below the title.

    Raises:
        ValueError: Where there is no model.
    """
    if not curves:
        raise ValueError(f"no model to draw in the figure {title!r}: give at least one")
    inches = max(2.6, style.LINE_OF_TEXT * len(curves))
    figure = Figure(figsize=(style.WIDTH, inches + 1.0))
    axes = style.axes_in_inches(figure, 0.62, 0.48, 4.6, inches)
    style.titled(figure, title, note)
    mels = np.concatenate([mel for _, mel in curves.values()])
    room = 0.08 * (float(mels.max() - mels.min()) or 1.0)
    low, high = float(mels.min()) - room, float(mels.max()) + room
    most = 1.05 * max(float(kbps.max()) for kbps, _ in curves.values())
    axes.set(xlim=(0, most), ylim=(low, high))
    labels = []
    for (name, (kbps, mel)), look in zip(curves.items(), style.slots(list(curves)).values(), strict=True):
        colour, dashes, marker = look
        axes.plot(kbps, mel, marker=marker, color=colour, linestyle=dashes, markersize=3.6)
        height, start = (float(mel[-1]) - low) / (high - low), float(kbps[-1]) / most
        labels.append(style.Label(height, f"{cut(name, 22)}  {short(float(mel[-1]))}", colour, "", start))
    axes.set_xlabel("kbps, from the size of the files without headers")
    axes.set_ylabel("mel distance")
    style.label_column(axes, labels)
    return figure
