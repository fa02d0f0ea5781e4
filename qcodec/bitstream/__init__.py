"""The bitstream: codes of a trained codec in files of the size that its bits say."""
