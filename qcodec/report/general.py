"""The report on a run of any kind."""

from qcodec.figures import over_training

FIGURES = (over_training.draw,)
