"""The public operations on NumPy arrays, wherever the backend runs: arrays go to its device, results come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import compare
import numpy as np
import strategies as make
from fastcolor.kernels import registry

import fastcolor


def on_cpu(backend: str) -> bool:
    return "cpu" in registry.BACKENDS[backend].devices


def has(backend: str, op: str) -> bool:
    return hasattr(registry.load(backend), op)


def _there(value: Any) -> Any:
    return make.as_kind(value, "torch-cuda", str(value.dtype)) if isinstance(value, np.ndarray) else value


def _back(result: Any) -> Any:
    return tuple(map(_back, result)) if isinstance(result, tuple) else compare.as_numpy(result)


def _moved(name: str) -> Callable[..., Any]:
    function = getattr(fastcolor, name)

    def call(*arguments: Any, backend: str, **options: Any) -> Any:
        if on_cpu(backend):
            return function(*arguments, backend=backend, **options)
        return _back(function(*map(_there, arguments), backend=backend, **options))

    return call


encode = _moved("encode")
encode_soft = _moved("encode_soft")
histogram = _moved("histogram")
annealed_mean = _moved("annealed_mean")
confidence = _moved("confidence")
decode = _moved("decode")
merge = _moved("merge")


def decoded(*arrays: Any, backend: str, **options: Any) -> tuple[Any, ...]:
    """``(rgb, top, ratio)`` of `decode`, or ``(rgb,)`` where the backend has no confidence."""
    confidence = has(backend, "confidence")
    result = decode(*arrays, confidence=confidence, backend=backend, **options)
    return result if confidence else (result,)


class TemporalSmoother:
    """``fastcolor.TemporalSmoother`` for NumPy frames."""

    def __init__(self, bins: Any, *, backend: str, **options: Any) -> None:
        self._smoother = fastcolor.TemporalSmoother(bins, backend=backend, **options)
        self._move = (lambda array: array) if on_cpu(backend) else _there

    def step(self, logits: Any, luma: Any) -> Any:
        return _back(self._smoother.step(self._move(logits), self._move(luma)))

    def chroma(self, logits: Any) -> Any:
        return _back(self._smoother.chroma(self._move(logits)))

    def reset(self) -> None:
        self._smoother.reset()

    @property
    def probabilities(self) -> Any:
        return _back(self._smoother.probabilities)
