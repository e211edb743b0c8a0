"""The second GPU backend: short Numba CUDA kernels, for reading and for comparison."""
