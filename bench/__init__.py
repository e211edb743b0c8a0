"""``python -m bench``: every operation against its peers, in one process, checked before it is timed.

The imports go one way: bench uses fastcolor and its reference, and nothing imports bench but its tests.
"""
