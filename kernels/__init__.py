"""How fast: the fused kernels, one module for each backend, each with the names and argument orders of the reference."""
