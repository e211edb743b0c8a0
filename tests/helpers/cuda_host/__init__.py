"""CUDA sources on the CPU: compiled by g++ behind a header that supplies what the CUDA language has and C++ lacks."""
