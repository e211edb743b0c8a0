"""The CUDA kernels move the fewest bytes there can be, in whole sectors; and the count of them can tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cuda_host import traffic
from cuda_host.host_module import HostModule

EXCESS, EFFICIENCY = 0.05, 0.9
PIXELS = 4096


@pytest.fixture(scope="module")
def rows() -> list[traffic.Row]:
    rows = traffic.rows()
    print("\n" + traffic.table(rows))
    return rows


def test_bytes_moved_are_the_least(rows: list[traffic.Row]) -> None:
    missed = [row for row in rows if row.excess > EXCESS]
    assert not missed, "\n" + traffic.table(missed)


def test_stores_fill_their_sectors(rows: list[traffic.Row]) -> None:
    missed = [row for row in rows if row.store_efficiency < EFFICIENCY]
    assert not missed, "\n" + traffic.table(missed)


def test_loads_use_their_sectors(rows: list[traffic.Row]) -> None:
    missed = [row for row in rows if row.load_efficiency < EFFICIENCY]
    assert not missed, "\n" + traffic.table(missed)


def test_no_thread_touches_what_another_writes(rows: list[traffic.Row]) -> None:
    """Nor are there two that write the same: no order of threads or blocks can matter."""
    assert [row.case for row in rows if row.conflicts] == []


def _row(body: str, bytes_read: int, bytes_written: int) -> traffic.Row:
    """The traffic of a kernel that reads `from` and writes `to`, one pixel for each thread `i`."""
    text = f"""__global__ void test(const unsigned char *from, unsigned char *to) {{
        const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
        {body}
    }}"""
    source, target = traffic.aligned((64 * PIXELS,), np.uint8), traffic.aligned((64 * PIXELS,), np.uint8)
    function = HostModule(code=text, name_expressions=("test",), trace=True).get_function("test")

    def run() -> None:
        function((PIXELS // 128,), (128,), (np.uint64(source.ctypes.data), np.uint64(target.ctypes.data)))

    least = traffic.models.Traffic(bytes_read * PIXELS, bytes_written * PIXELS)
    return traffic.measure(traffic.Case("planted", run, (source, target), PIXELS, least))


_LOAD = "const uint4 x = __ldcs(reinterpret_cast<const uint4 *>(from) + i);"
_STORE = "__stcs(reinterpret_cast<uint4 *>(to) + i, x);"


def test_a_plain_copy_is_perfect() -> None:
    row = _row(_LOAD + _STORE, 16, 16)
    assert (row.read, row.write, row.excess) == (16, 16, 0)
    assert (row.load_efficiency, row.store_efficiency, row.sectors_per_load, row.sectors_per_store) == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("body", "check"),
    [
        # three bytes a thread, one by one: each request touches 96 bytes for 32
        ("for (int k = 0; k < 3; ++k) to[3 * i + k] = 7;", lambda row: row.store_efficiency == pytest.approx(1 / 3)),
        # two words of a thread side by side: each request takes half of its sectors
        (
            _LOAD + "for (int k = 0; k < 2; ++k) __stcs(reinterpret_cast<uint4 *>(to) + 2 * i + k, x);",
            lambda row: row.store_efficiency == pytest.approx(0.5) and row.sectors_per_store == 32,
        ),
        # a plane that begins between two sectors
        (
            "__stcs(reinterpret_cast<uint4 *>(to + 16) + i, __ldcs(reinterpret_cast<const uint4 *>(from) + i));",
            lambda row: row.sectors_per_store == 17,
        ),
        # every block reads what the block before it read
        (
            _LOAD + "const uint4 y = __ldcs(reinterpret_cast<const uint4 *>(from) + (i + 128) % gridDim.x);"
            "__stcs(reinterpret_cast<uint4 *>(to) + i, uint4{x.x + y.x, 0, 0, 0});",
            lambda row: row.read > 16,
        ),
        # all twice
        (
            _LOAD + _STORE + "__stcs(reinterpret_cast<uint4 *>(to) + gridDim.x * 128 + i, x);",
            lambda row: row.write == 32,
        ),
        # not by an intrinsic
        ("to[i] = from[2 * i];", lambda row: row.load_efficiency == 0.5 and row.read == 2 and row.write == 1),
        # memory of the thread, of the block and of the launch does not count
        (
            "__shared__ unsigned char tile[128]; volatile unsigned char own[4]; own[i % 4] = from[i];"
            "tile[threadIdx.x] = own[i % 4]; __syncthreads(); to[i] = tile[127 - threadIdx.x];",
            lambda row: (row.read, row.write) == (1, 1),
        ),
    ],
)
def test_waste_is_seen(body: str, check: Callable[[traffic.Row], bool]) -> None:
    row = _row(body, 16, 16)
    assert check(row), row


@pytest.mark.parametrize(
    ("body", "bytes_in_conflict"),
    [
        ("to[i] = from[i];", 0),
        ("to[i] = from[i]; to[i] += to[i];", 0),
        ("to[i / 2] = from[i];", PIXELS // 2),
        ("to[i] = to[(i + 128) % 4096];", PIXELS),
        ("if (i == 300) reinterpret_cast<unsigned *>(to)[0] = 1; if (i < 4) to[i] = 1;", 4),
        ("to[i] = 1; if (i == 300) from = to; to[i] = from[5];", 1),
    ],
)
def test_conflicts_are_seen(body: str, bytes_in_conflict: int) -> None:
    assert _row(body, 1, 1).conflicts == bytes_in_conflict


def test_a_lane_that_skips_does_not_shift_the_others() -> None:
    row = _row("if (i % 2) to[32 * PIXELS + i] = 1; to[i] = from[i];".replace("PIXELS", str(PIXELS)), 1, 1)
    assert row.sectors_per_load == 1
    assert row.sectors_per_store == 1
