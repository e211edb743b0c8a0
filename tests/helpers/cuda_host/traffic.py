"""Bytes and sectors that the CUDA kernels move, counted on the CPU: each access of each thread is recorded and grouped.

The k-th time that the lanes of a warp pass one load or store is one request, as in lock step. A GPU moves global memory
in sectors of 32 bytes; a request costs each sector that it touches.

- *read*, *write*: 32 bytes for each sector that a block touches, once a block: what comes from and goes to beyond the
  first-level cache. What many blocks read again (tables, low-resolution chroma) counts once a launch.
- *efficiency*: useful bytes of the requests over the bytes of the sectors that they touch.

``PYTHONPATH=tests/helpers python -m cuda_host`` prints the table.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from fastcolor.kernels.common import cuda_tables
from fastcolor.kernels.cupy_cuda.engine import Engine
from numpy.typing import NDArray
from once import locked
from paths import ROOT

from bench import bytes as models
from bench.measure.machine import kept, write_text

from .build import HERE, compiler_version
from .host_module import HostModule, runtime
from .translate import compiled

Array = NDArray[Any]
ENGINE = Engine(partial(HostModule, trace=True), nullcontext)
FOLDER, SOURCES = kept("traffic"), (".py", ".cu", ".cuh", ".json", ".h", ".cpp")
SECTOR = 32
WARP = 32
_ACCESS = np.dtype(
    [
        ("address", "u8"),
        ("site", "u8"),
        ("bytes", "u4"),
        ("launch", "u4"),
        ("block", "u4"),
        ("thread", "u4"),
        ("writes", "u4"),
        ("ordinal", "u4"),
    ]
)


@dataclass(frozen=True)
class Row:
    """What one call moved, in bytes a pixel."""

    case: str
    least_read: float
    least_write: float
    read: float
    write: float
    load_efficiency: float
    store_efficiency: float
    sectors_per_load: float
    sectors_per_store: float
    conflicts: int

    @property
    def excess(self) -> float:
        """Bytes moved beyond the least, as a share of the least."""
        least = self.least_read + self.least_write
        return (self.read + self.write) / least - 1


def record(run: Callable[[], object]) -> Array:
    """All accesses to global memory of what `run` launches on :data:`ENGINE`."""
    library = runtime(compiled("", trace=True)[1])
    library.fc_host_trace_stop.restype = ctypes.c_void_p
    count = ctypes.c_uint64()
    library.fc_host_trace_start()
    try:
        run()
    finally:
        address = library.fc_host_trace_stop(ctypes.byref(count))
    if not count.value:
        return np.empty(0, _ACCESS)
    memory: Any = (ctypes.c_char * (count.value * _ACCESS.itemsize)).from_address(address)
    return np.frombuffer(memory, _ACCESS).copy()


def requests(accesses: Array) -> Array:
    """For each access the number of the request that it belongs to: same launch, block, warp, place and turn."""
    warp = accesses["thread"] // WARP
    site = np.unique(accesses["site"], return_inverse=True)[1]
    return _numbered(accesses["launch"], accesses["block"], warp, site, _turn(accesses, site))


def _turn(accesses: Array, site: Array) -> Array:
    """How often the same thread had passed the same place before."""
    key = _packed(accesses["launch"], accesses["block"], accesses["thread"], site)
    order = np.argsort(key, kind="stable")
    new = np.diff(key[order], prepend=-1) != 0
    place = np.arange(len(order))
    turn = np.empty(len(order), np.int64)
    turn[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return turn


def _packed(*columns: Array) -> Array:
    """One number for each combination of values."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values = column.astype(np.int64)
        key = key * (int(values.max()) + 1) + values
    return key


def _numbered(*columns: Array) -> Array:
    """0, 1, 2, ... for the combinations of values that there are."""
    return np.unique(_packed(*columns), return_inverse=True)[1]


def sectors(accesses: Array) -> tuple[Array, Array]:
    """Sectors touched, counted from the lowest, and the index of the access that touches each."""
    first, last = accesses["address"] // SECTOR, (accesses["address"] + accesses["bytes"] - 1) // SECTOR
    spans = (last - first + 1).astype(np.int64)
    owner = np.repeat(np.arange(len(accesses)), spans)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(spans) - spans, spans)
    return (first[owner] - first.min()).astype(np.int64) + step, owner


def efficiency(accesses: Array) -> tuple[float, float]:
    """Useful bytes over bytes of the sectors touched, and sectors per request."""
    if not len(accesses):
        return 1.0, 0.0
    request = requests(accesses)
    sector, owner = sectors(accesses)
    touched = len(np.unique(_packed(request[owner], np.unique(sector, return_inverse=True)[1])))
    return float(accesses["bytes"].sum() / (SECTOR * touched)), touched / (int(request.max()) + 1)


def moved(accesses: Array, streams: Sequence[Array]) -> int:
    """Bytes of the sectors touched: once a block in the arrays of `streams`, once a launch elsewhere."""
    if not len(accesses):
        return 0
    sector, owner = sectors(accesses)
    streamed = np.any([inside(accesses, array) for array in streams], axis=0)
    block = np.where(streamed, accesses["block"].astype(np.int64) + 1, 0)
    number = np.unique(sector, return_inverse=True)[1]
    return SECTOR * len(np.unique(_packed(accesses["launch"][owner], block[owner], number)))


def conflicts(accesses: Array, streams: Sequence[Array]) -> int:
    """Bytes of `streams` that one thread wrote and another one of the same launch touched."""
    count = 0
    for array in streams:
        part = accesses[inside(accesses, array)]
        if not part["writes"].any():
            continue
        address, size = (
            (part["address"] - np.uint64(array.ctypes.data)).astype(np.int64),
            part["bytes"].astype(np.int64),
        )
        unit = int(np.gcd.reduce(np.concatenate([address, size])))
        size //= unit
        owner = np.repeat(np.arange(len(part)), size)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size)
        key = _packed(part["launch"][owner], address[owner] // unit + step)
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(np.diff(key[order], prepend=-1))
        thread = _packed(part["block"], part["thread"])[owner][order]
        written = np.maximum.reduceat(part["writes"][owner][order], first) > 0
        several = np.maximum.reduceat(thread, first) != np.minimum.reduceat(thread, first)
        count += unit * int((written & several).sum())
    return count


def inside(accesses: Array, array: Array) -> Array:
    first = array.ctypes.data
    return (accesses["address"] >= first) & (accesses["address"] < first + array.nbytes)


def aligned(shape: Sequence[int], dtype: Any) -> Array:
    """An array at a multiple of 512 bytes, as torch and CuPy allocate on a GPU."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.zeros(size + 512, np.uint8)
    start = -buffer.ctypes.data % 512
    return buffer[start : start + size].view(dtype).reshape(shape)


@dataclass(frozen=True)
class Case:
    """One operation on its main path: `run()` reads and writes `streams`, `pixels` of them."""

    name: str
    run: Callable[[], object]
    streams: tuple[Array, ...]
    pixels: int
    least: models.Traffic


def measure(case: Case) -> Row:
    """Record one call of a case and count."""
    accesses = record(case.run)
    writes = accesses["writes"] == 1
    loads, stores = accesses[~writes], accesses[writes]
    streamed = [part[np.any([inside(part, array) for array in case.streams], axis=0)] for part in (loads, stores)]
    load_efficiency, sectors_per_load = efficiency(streamed[0])
    store_efficiency, sectors_per_store = efficiency(streamed[1])
    return Row(
        case=case.name,
        least_read=case.least.read / case.pixels,
        least_write=case.least.write / case.pixels,
        read=moved(loads, case.streams) / case.pixels,
        write=moved(stores, case.streams) / case.pixels,
        load_efficiency=load_efficiency,
        store_efficiency=store_efficiency,
        sectors_per_load=sectors_per_load,
        sectors_per_store=sectors_per_store,
        conflicts=conflicts(accesses, case.streams),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| operation | read, B/px | least | written, B/px | least | excess "
        "| load efficiency | store efficiency | sectors a load | a store |",
        "|---|" + "---:|" * 9,
    ]
    lines += [
        f"| {row.case} | {row.read:.2f} | {row.least_read:.2f} | {row.write:.2f} | {row.least_write:.2f} "
        f"| {row.excess:+.1%} | {row.load_efficiency:.1%} | {row.store_efficiency:.1%} "
        f"| {row.sectors_per_load:.1f} | {row.sectors_per_store:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _as_on_a_gpu(like: Any, values: Array) -> Array:
    """A table where a GPU would begin it, at a multiple of 256: how many sectors it touches is then no chance."""
    room = np.empty(values.nbytes + 256, np.uint8)
    begin = -room.ctypes.data % 256
    table = room[begin : begin + values.nbytes].view(values.dtype).reshape(values.shape)
    table[...] = values
    return table


def rows() -> list[Row]:
    """Every operation on its main path; counted once, and kept in the user's cache by all that they depend on."""
    from .traffic_cases import cases

    place = FOLDER / f"{_key()}.json"
    with locked(place):
        if place.exists():
            return [Row(**fields) for fields in json.loads(place.read_text(encoding="utf-8"))]
        with patch.object(cuda_tables, "from_numpy", _as_on_a_gpu), patch.dict(cuda_tables._recent, clear=True):
            counted = [measure(case) for case in cases()]
        with suppress(OSError):  # a cache that cannot be written to counts again
            write_text(place, json.dumps([asdict(row) for row in counted]))
        return counted


def _key() -> str:
    """The kernels and the host code that launches them, the reference, this shim, and its compiler."""
    folders = (ROOT / "kernels", ROOT / "reference", HERE)
    sources = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in SOURCES]
    key = hashlib.sha256(f"{compiler_version()} {np.__version__}".encode())
    for path in (Path(models.__file__), *sources):
        key.update(path.read_bytes() + b"\0")
    return key.hexdigest()[:32]
