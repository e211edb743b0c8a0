"""``python -m bench``: every operation against its peers, in one process, checked before it is timed.

The imports go one way: bench uses fastcolor and its reference, and nothing of the package imports bench. Of the tests
it borrows the cases of the gpu-day's smoke, when that runs.
"""
