"""Against whom: what others would write, in NumPy, torch, CuPy, OpenCV and more."""
