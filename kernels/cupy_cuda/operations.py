"""The operations of the CUDA kernels by name, for whatever launches them."""

from __future__ import annotations

from functools import partial
from typing import Any

from . import decode, encode, encode_soft, gradient, loss, merge, temporal
from .engine import Engine

_WHERE = {
    "encode": encode,
    "encode_soft": encode_soft,
    "histogram": encode,
    "annealed_mean": decode,
    "confidence": decode,
    "decode": decode,
    "merge": merge,
    "annealed_mean_gradient": gradient,
    "weighted_cross_entropy": loss,
    "loss_forward": loss,
    "loss_backward": loss,
    "TemporalSmoother": temporal,
}


def operations(engine: Engine) -> dict[str, Any]:
    """What a backend's module has: each operation, launched by `engine`."""
    return {name: partial(getattr(module, name), engine) for name, module in _WHERE.items()}
