"""Encoders and decoders around a quantizer."""
