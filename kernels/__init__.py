"""How fast: the fused kernels, a folder a backend, each with the names and argument orders of the reference."""
