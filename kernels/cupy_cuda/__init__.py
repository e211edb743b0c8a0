"""The main GPU backend: CUDA C++, compiled by NVRTC and launched through CuPy."""
