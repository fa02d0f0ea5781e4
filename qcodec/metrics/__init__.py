"""Metrics of audio codecs in training, one file each, summed on the device and over ranks."""
