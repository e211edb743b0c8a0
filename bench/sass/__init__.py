"""CUDA kernels checked without a GPU: compiled by NVRTC, taken apart, held to rules. ``python -m bench sass``."""
