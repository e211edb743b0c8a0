"""NumPy, torch and CuPy arrays seen alike: looked at once, checked, and brought to the kernels."""
