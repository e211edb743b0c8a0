"""``python -m bench gpu-day --out DIR``: the first minutes on a GPU, in stages; runs from a bare copy of the tree."""
