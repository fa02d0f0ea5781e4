"""Metrics of codecs, summed up on the device and across ranks."""
