"""Pixels a thread: what each number of them costs in the CUDA kernels that may choose; a stage of the gpu-day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ..cases import Setting
from ..measure import device
from ..measure.machine import write_text

BACKEND = "cupy"
PIXELS, WIDEST = (1, 2, 4, 8), {"float32": 4, "float16": 8, "bfloat16": 8}
SWEPT = ((2048, 4096), (1080, 1920), (1024, 1024))


def sweep(out: Path) -> None:
    """Pixels a thread, for every operation that may choose them: microseconds of each."""
    from fastcolor.kernels.cupy_cuda import engine

    where = device.place("cuda")
    clock = where.clock()
    copy = where.floor(Setting(device="cuda")).runs(0)["copy"][0]
    rows: list[dict[str, Any]] = [{"what": "copy", "gb_per_s": copy() / _median(clock, copy) / 1e9}]
    for (height, width), (dtype, most) in product(SWEPT, WIDEST.items()):
        calls = dict(_swept(where, height, width, dtype))
        for count, what in product(PIXELS, calls):
            if count > most:
                continue
            rows.append({"what": what, "height": height, "width": width, "dtype": dtype, "pixels": count})
            try:
                with patch.object(engine.Engine, "pixels_each", fixed(count)):
                    rows[-1]["us"] = round(1e6 * _median(clock, calls[what]), 2)
            except Exception as error:
                rows[-1]["error"] = f"{type(error).__name__}: {error}"[:300]
            print(rows[-1], flush=True)
            write_text(out / "sweep.json", json.dumps(rows, indent=1))


def fixed(count: int) -> Callable[..., int]:
    """In place of ``Engine.pixels_each``: ``count`` pixels a thread wherever they divide a plane."""
    return lambda *given: count if given[5] % count == 0 else 1


def _median(clock: Any, call: Callable[[], Any]) -> float:
    call()  # compiles
    clock = clock.fitted(call)
    return sorted(clock.time(call)[0] for _ in range(15))[7]


def _swept(where: Any, height: int, width: int, dtype: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    import torch

    import fastcolor

    on, backend, bins = {"device": where.torch_device}, BACKEND, fastcolor.ColorBins.default()
    x = torch.randn(1, bins.n, height, width, **on).to(getattr(torch, dtype))
    y, weights = torch.rand(2, 1, height, width, **on)
    labels = torch.randint(0, bins.n, (1, height, width), dtype=torch.uint8, **on)
    above = torch.rand(1, 2, height, width, **on).to(x.dtype)
    leaf = x.clone().requires_grad_()
    yield "decode", lambda: fastcolor.decode(x, y, bins, backend=backend)
    yield "decode_confidence", lambda: fastcolor.decode(x, y, bins, confidence=True, backend=backend)
    yield "annealed_mean", lambda: fastcolor.annealed_mean(x, bins, backend=backend)
    yield "loss", lambda: torch.autograd.grad(fastcolor.weighted_cross_entropy(leaf, labels, weights), leaf)
    yield (
        "annealed_mean_gradient",
        lambda: torch.autograd.grad(fastcolor.annealed_mean(leaf, bins, backend=backend), leaf, above),
    )
    if dtype == "float32":
        smoother = fastcolor.TemporalSmoother(bins, ring="uint8", backend=backend)
        yield "temporal", lambda: smoother.step(x[0], y[0])
