"""Layers of codecs, quantizers and rate allocators."""
