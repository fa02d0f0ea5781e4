"""The report on audio codecs: mel loss, embedding and bitrate."""

from qcodec.figures import mel_and_embedding, over_training

FIGURES = (mel_and_embedding.draw, over_training.draw_over_updates)
