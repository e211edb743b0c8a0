"""A pass over logits on a GPU: which instance of its kernel runs, and how it is launched.

Logits of the unrolled n stay in registers (``..._planar``) or, channels-last, go through a tile of shared memory
(``..._tiled``). Those of any other n come some bins at a time: planes to a thread (``..._streamed``), rows to the
lanes of a warp (``..._rows``). Planes of the unrolled n may be streamed, too: ``widths.json`` says what was the fastest
on a GPU, and how many pixels a thread takes; ``python -m bench.suites.pixels`` makes it of a sweep.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from ..common.device_arrays import cast, dtype_name, is_double
from ..common.layout import planes
from .engine import Engine, index_type, index_value, scalar_type
from .palette import Colors, by_value, colors, in_table

FAST_BINS = 32  # has its own instances, unrolled
THREADS = 128
# For each operation and type of logits the kinds of kernel for planes, that of the unrolled n first, and the pixels a
# thread of each.
WIDTHS_FILE = "widths.json"
WIDTHS: dict[str, Any] = json.loads((files("fastcolor.kernels.cupy_cuda") / WIDTHS_FILE).read_text("utf-8"))["widths"]
_NAMES = {"uint16": "bfloat16"}  # by its bits
_FEW = 128  # bins a row up to which 8 lanes share it: fewer of them idle, fewer shuffles


class Plan(NamedTuple):
    """An instance of a pass, and its blocks.

    Attributes
    ----------
    instance : str
        The expression of the kernel.
    sizes : tuple
        Kernel arguments: n, and the elements between the rows of a tile.
    shared : int
        Bytes of dynamic shared memory.
    pixels : int
        Of a block.
    """

    instance: str
    sizes: tuple[Any, ...]
    shared: int
    pixels: int


class Pass:
    """A pass of a kernel of ``<name>.cu`` over logits.

    Parameters
    ----------
    engine : Engine
    name : str
    logits : array
        float64 is rounded to float32.
    axis : int
        Where the n bins are.
    kinds : tuple of str
        Those that the kernel has; planes can be streamed always.
    operation : str
        In :data:`WIDTHS`; its name, where none is given.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        logits: Any,
        axis: int,
        kinds: tuple[str, ...] = ("planar", "tiled", "rows"),
        operation: str = "",
    ) -> None:
        self.engine, self.name = engine, name
        self.x, _ = planes(cast(logits, "float32") if is_double(logits) else logits, axis)
        self.images, self.n, self.count = self.x.shape
        self.pixels, self.last = self.images * self.count, self.count == 1
        self.widths = widths = WIDTHS[operation or name][_NAMES.get(dtype := dtype_name(self.x), dtype)]
        fast = "tiled" if self.last else next(iter(widths))
        self.kind = fast if fast in kinds and self.n == FAST_BINS else "streamed"
        if self.kind == "streamed" and self.last and "rows" in kinds:
            self.kind = "rows"
        self.most = widths.get(self.kind, 1)  # pixels a thread
        self.index = index_type(self.pixels * max(self.n, 3))

    def sizes(self, *values: int) -> tuple[Any, ...]:
        """Numbers of pixels, as arguments of the kernel."""
        return tuple(index_value(self.index, value) for value in values)

    def colors(self, bins: Any) -> Colors:
        """Those of the bins, as the kernel takes them: lanes that read different bins find them in shared memory."""
        if self.kind == "rows":
            return in_table(bins, self.x)
        return colors(bins, self.x) if self.kind == "streamed" else by_value(bins)

    def plan(self, kernel: str, kinds: tuple[Any, ...], in_planes: Iterable[Any], colors: Colors | None = None) -> Plan:
        """The instance of ``<kernel>_<kind>`` that fits the logits.

        `kinds` are its template arguments before the index. A thread takes several neighbours where the arrays
        `in_planes` are aligned for it.
        """

        def expression(*first: Any) -> str:
            words = (scalar_type(self.x), *first, *kinds, self.index)
            return f"fc::{kernel}_{self.kind}<{', '.join(map(str, words))}>"

        def instance(each: int) -> str:
            return expression(self.n, each) if self.kind == "planar" else expression(each, *kind_of_colors)

        n, kind_of_colors = np.int32(self.n), () if colors is None else (colors.type,)
        if self.kind == "tiled":
            stride = self.n + 16 // self.x.itemsize  # rows of neighbouring threads lie in different banks
            return Plan(expression(self.n), (n, np.int32(stride)), THREADS * stride * self.x.itemsize, THREADS)
        if self.kind == "rows":
            return Plan(expression(8 if self.n <= _FEW else 32), (n,), colors.shared if colors else 0, THREADS)
        each = self.engine.pixels_each(self.x, self.name, instance, self.most, self.count, in_planes)
        shared = colors.shared if colors else 0
        return Plan(instance(each), () if self.kind == "planar" else (n,), shared, each * THREADS)

    def blocks(self, plan: Plan) -> int:
        return -(-self.pixels // plan.pixels)

    def launch(self, plan: Plan, *args: Any) -> None:
        """Run the planned instance."""
        args = (self.x, *plan.sizes, *args)
        self.engine.launch(self.x, self.name, plan.instance, self.blocks(plan), THREADS, args, plan.shared)
