"""Kernels in C++ (CPU) and Triton (GPU), each beside PyTorch operations that compute the same up to rounding."""
