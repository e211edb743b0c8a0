"""The CPU: Numba kernels on explicit vectors, cut over a pool of threads."""
