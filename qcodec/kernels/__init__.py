"""Compiled functions for float32 tensors on the CPU, each beside a plain PyTorch path that gives the same numbers."""
