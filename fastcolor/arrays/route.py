"""What does the work: operators of torch where it traces or differentiates, else kernels, called directly."""

from __future__ import annotations

from types import ModuleType

from . import run
from .kinds import Seen


def route(seen: Seen, differentiable: bool = False) -> ModuleType:
    """``torch_ops`` or ``run``; both have the same functions."""
    if not (differentiable or seen.traced):
        return run
    from . import torch_ops

    return torch_ops
