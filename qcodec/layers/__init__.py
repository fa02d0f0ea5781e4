"""Layers that codecs and quantizers are built of."""
