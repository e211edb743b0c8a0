"""Pixels a thread: what each number of them costs in the CUDA kernels that may choose; a stage of the gpu-day.

``python -m bench.suites.pixels SWEEP.json "GPU, commit"`` brings what a sweep found into the table that kernels are
chosen by.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ..cases import PLANAR, STREAMED, Setting, at_width
from ..measure import device, machine

BACKEND = "cupy"
TYPES = ("float32", "float16", "bfloat16")
SWEPT = ((2048, 4096), (1080, 1920), (1024, 1024))
ALSO_STREAMED = ("decode", "decode_confidence", "annealed_mean", "confidence")
SAME, HOST = 1.01, 2.0  # factors of times: no difference, and the host's time instead of the GPU's
Widths = dict[str, Any]


def sweep(out: Path) -> None:
    """Every kind of kernel and number of pixels, for every operation that may choose them: microseconds of each."""

    from fastcolor.arrays import plans

    where = device.place("cuda")
    clock = where.clock()
    copy = where.floor(Setting(device="cuda")).runs(0)["copy"][0]
    rows: list[dict[str, Any]] = [
        {"what": "copy", "gb_per_s": copy() / _median(clock, copy) / 1e9, "commit": machine.commit()[0]}
    ]
    for (height, width), dtype in product(SWEPT, TYPES):
        for what, call in _swept(where, height, width, dtype):
            for kind, count in (*PLANAR, *(STREAMED if what in ALSO_STREAMED else ())):
                row = {"what": what, "height": height, "width": width, "dtype": dtype, "kind": kind, "pixels": count}
                plans.clear()
                try:
                    with at_width(kind, count):
                        row["us"] = round(1e6 * _median(clock, call), 2)
                except Exception as error:
                    row["error"] = f"{type(error).__name__}: {error}"[:300]
                rows.append(row)
                print(row, flush=True)
                machine.write_text(out / "sweep.json", json.dumps(rows, indent=1))
    plans.clear()


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
    yield "confidence", lambda: fastcolor.confidence(x, backend=backend)
    yield "loss", lambda: torch.autograd.grad(fastcolor.weighted_cross_entropy(leaf, labels, weights), leaf)
    yield (
        "annealed_mean_gradient",
        lambda: torch.autograd.grad(fastcolor.annealed_mean(leaf, bins, backend=backend), leaf, above),
    )
    if dtype == "float32":
        smoother = fastcolor.TemporalSmoother(bins, ring="uint8", backend=backend)
        yield "temporal", lambda: smoother.step(x[0], y[0])


def fastest(rows: Sequence[dict[str, Any]]) -> Widths:
    """The widths of each operation and type that a sweep timed: {operation: {type: {kind: pixels}}}, best kind first.

    The least sum of times over the sizes; of those within 1 % of it the fewest pixels, and planar before streamed. A
    size counts where none of its times is beyond twice its share of that of the largest size: else the host was timed.

    Examples
    --------
    >>> row = {"what": "decode", "height": 1, "width": 2, "dtype": "float16", "kind": "planar"}
    >>> fastest([row | {"pixels": 2, "us": 1.0}, row | {"pixels": 4, "us": 0.995}, row | {"pixels": 1, "us": 2.0}])
    {'decode': {'float16': {'planar': 2}}}
    """
    timed: dict[tuple[str, str], dict[int, dict[tuple[str, int], float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if "us" in row:
            choice = row.get("kind", "planar"), row["pixels"]
            timed[row["what"], row["dtype"]][row["height"] * row["width"]][choice] = row["us"]
    found: Widths = defaultdict(dict)
    for (what, dtype), of in timed.items():
        largest = max(of)
        sizes = [size for size in of if all(us < HOST * size / largest * of[largest][c] for c, us in of[size].items())]
        sums = {choice: sum(of[size][choice] for size in sizes) for choice in of[largest]}
        best: dict[str, int] = {}
        while left := {choice: us for choice, us in sums.items() if choice[0] not in best}:
            kind, pixels = min(choice for choice, us in left.items() if us <= SAME * min(left.values()))
            best[kind] = pixels
        found[what][dtype] = best
    return dict(found)


def main(words: Sequence[str]) -> int:
    """Write the table anew, of a sweep, a text that says where it is from, and operations, if not of all that it timed.

    What was not timed stays as it is.
    """
    from fastcolor.kernels.cupy_cuda import tile

    path, source, *only = words
    found = fastest(json.loads(Path(path).read_text(encoding="utf-8")))
    operations = []
    for what, types in tile.WIDTHS.items():
        lines = []
        for dtype, before in types.items():
            best = found.get(what, {}).get(dtype, {}) if what in (only or found) else {}
            widths = best | {kind: count for kind, count in before.items() if kind not in best}
            lines.append(f"      {json.dumps(dtype)}: {json.dumps(widths)}")
        operations.append(f"    {json.dumps(what)}: {{\n" + ",\n".join(lines) + "\n    }")
    text = ",\n".join(operations)
    place = Path(tile.__file__).with_name(tile.WIDTHS_FILE)
    machine.write_text(place, f'{{\n  "from": {json.dumps(source)},\n  "widths": {{\n{text}\n  }}\n}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
