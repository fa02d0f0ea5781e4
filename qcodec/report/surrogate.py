"""The report on surrogate codecs: mean square error, rate and distortion."""

from qcodec.figures import final_values, over_training, paper, rate_distortion

FIGURES = (over_training.draw, paper.draw, final_values.draw, rate_distortion.draw)
