"""The second GPU backend: encode, annealed mean and decode in short Numba CUDA kernels, to be read and compared."""
