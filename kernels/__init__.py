"""How fast: the fused kernels, a module a backend, each with the names and argument orders of the reference."""
