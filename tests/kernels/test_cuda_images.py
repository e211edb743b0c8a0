"""Encode, histogram and merge for CUDA, on the CPU: what their host code chooses must not show in the results."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
import torch
from cuda_host.backend import ENGINE
from cuda_images import assert_same, encode_at, picture
from fastcolor.kernels.common import cuda_tables
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda.engine import Engine
from fastcolor.reference.constants import U_NUMERATOR_MAX, V_NUMERATOR_MAX
from guarded import Guarded, at_offset

from fastcolor import reference

Array = np.ndarray
# Pixels around the ends of a group (4), of a warp's tile (64, 128, 512) and of a block.
COUNTS = (1, 3, 4, 5, 63, 64, 65, 127, 129, 511, 512, 513, 2047, 2049, 4500)
RGB = ("uint8", "float32", "float64")


# --- integers ---------------------------------------------------------------------------------------------------------


def test_cells_are_exact_for_every_numerator_and_every_grid() -> None:
    """All x in [0, D] for both axes and all K: the product and shift of the kernel is ``x K // D``."""
    for name, top in (("u_scale", U_NUMERATOR_MAX), ("v_scale", V_NUMERATOR_MAX)):
        x = np.arange(2 * top + 1, dtype=np.uint64)
        for cells in range(1, 256):
            scale = cuda_encode.grid(cells)[name][0].astype(np.uint64)
            product = x * scale
            assert int(scale) < 2**32
            # Only where the quotient changes can a wrong one first appear: it never decreases, and must change there.
            quotient = product >> np.uint64(38)
            edges = (np.arange(1, cells + 1, dtype=np.int64) * 2 * top + cells - 1) // cells  # first x of each cell
            np.testing.assert_array_equal(np.searchsorted(quotient, np.arange(1, cells + 1)), edges)


def test_a_scale_that_is_one_too_small_is_not_exact() -> None:
    scale = int(cuda_encode.grid(255)["u_scale"][0]) - 1
    x = 2 * U_NUMERATOR_MAX // 255  # the first color of the second cell
    assert (x * scale >> 38, x * 255 // (2 * U_NUMERATOR_MAX)) == (0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_places_of_merge_are_exact(seed: int) -> None:
    """n // (2 want) by the kernel's product and shift, for 2 <= 2 want < 2^31 and 0 <= n < 2^31."""
    rng = np.random.default_rng(seed)
    for want in (1, 2, 3, 2**seed, 2**seed + 1, 2**30 - 1, *(int(2 ** rng.uniform(0, 30)) for _ in range(20))):
        axis = cuda_merge.axis(7, want, 4)[0]
        scale, shift = int(axis["scale"]), int(axis["shift"])
        n = rng.integers(0, 2**31, 200)
        multiples = n // (2 * want) * 2 * want
        for value in (0, 2**31 - 1, *n.tolist(), *multiples.tolist(), *(multiples - 1).clip(0).tolist()):
            assert value * scale >> shift == value // (2 * want)
            assert value * scale < 2**64


# --- encode -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", RGB)
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_encode_does_not_depend_on_addresses(dtype: str, axis: int) -> None:
    """Wide and narrow accesses give the same, for input and results at any element of a 16-byte word and any size."""
    rng = np.random.default_rng(0)
    bins = make.make_bins(rng, 32, 17)
    itemsize = np.dtype(dtype).itemsize
    for count in COUNTS:
        shape = {-1: (count, 3), 0: (3, count), 1: (2, 3, count)}[axis]
        rgb = picture(rng, shape, dtype)
        expected = encode_at(at_offset(rgb, 0), bins, axis)
        compare.assert_encoded(expected, np.moveaxis(rgb, axis, -1), bins, 0.2)
        for offset in range(itemsize, 16, itemsize) if count in (5, 513) else (itemsize,):
            assert_same(encode_at(at_offset(rgb, offset), bins, axis), expected)
        for offset in (1, 2, 3):
            assert_same(encode_at(rgb, bins, axis, offset=offset), expected)


@pytest.mark.parametrize("dtype", RGB)
@pytest.mark.parametrize("label", ["uint16", "int16", "int32", "int64"])
def test_labels_of_every_type_are_equal(dtype: str, label: str) -> None:
    rng = np.random.default_rng(1)
    bins = make.make_bins(rng, 255, 255)
    for count in (3, 512, 700):
        rgb = picture(rng, (count, 3), dtype)
        expected = encode_at(rgb, bins, -1)
        for offset in (0, 1):
            assert_same(encode_at(rgb, bins, -1, label, offset), expected)


@pytest.mark.parametrize("dtype", RGB)
def test_small_planes_are_encoded_like_large_ones(dtype: str) -> None:
    """Planes too small for a warp are brought together first."""
    rng = np.random.default_rng(2)
    bins = make.make_bins(rng, 32, 65)
    for count in (2, 127, 128):
        rgb = picture(rng, (5, 3, count), dtype)
        interleaved = encode_at(np.ascontiguousarray(np.moveaxis(rgb, 1, -1)), bins, -1)
        assert_same(encode_at(rgb, bins, 1), interleaved)


# --- histogram --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [1, 2, 17, 65, cuda_encode.LOCAL_CELLS, cuda_encode.LOCAL_CELLS + 1, 255])
@pytest.mark.parametrize("kind", ["gray", "one color", "noise"])
def test_histogram_counts_each_pixel_once(cells: int, kind: str) -> None:
    """Many warps on one count, in shared memory or in the result; more tiles than a block takes in one sweep."""
    rng = np.random.default_rng(cells)
    rgb = picture(rng, (40_000, 3), "uint8")
    if kind == "gray":
        rgb[:] = rgb[:, :1]
    elif kind == "one color":
        rgb[:] = rgb[0]
    counts = cuda_encode.histogram(ENGINE, rgb, cells)
    np.testing.assert_array_equal(counts, reference.histogram(rgb, cells))


@pytest.mark.parametrize("dtype", RGB)
@pytest.mark.parametrize("axis", [-1, 1])
def test_histogram_does_not_depend_on_addresses(dtype: str, axis: int) -> None:
    rng = np.random.default_rng(3)
    for count in COUNTS:
        rgb = picture(rng, (2, count, 3), dtype)
        expected = cuda_encode.histogram(ENGINE, rgb, 17)
        moved = np.ascontiguousarray(np.moveaxis(rgb, -1, axis))
        for offset in range(0, 16, rgb.itemsize) if count == 513 else (rgb.itemsize,):
            counts = cuda_encode.histogram(ENGINE, at_offset(moved, offset), 17, channel_axis=axis)
            np.testing.assert_array_equal(counts, expected)


class Written(Engine):
    """The last launch is written down, and nothing runs."""

    last: tuple[str, int]

    def launch(self, like: Any, name: str, expression: str, blocks: int, *_: Any) -> None:
        self.last = expression, blocks


# Around the end of 32-bit indices; 2^32 pixels, 13 GB as bytes, and 2^40, more than any GPU holds.
SIDES = {64: "fc::u32", 23_000: "fc::u32", 23_200: "fc::u64", 1 << 16: "fc::u64", 1 << 20: "fc::u64"}


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("side", SIDES)
def test_no_count_of_a_block_overflows(side: int, axis: int) -> None:
    """A block of histogram counts in 32 bits, and all that it sees may have one color.

    Warps take tiles a whole grid apart: each at most ``ceil(tiles / warps of the grid)``, of `tile` pixels at most.
    """
    engine = Written(lambda **_: None, lambda _: nullcontext())
    rgb = torch.empty((3, side, side) if axis == 0 else (side, side, 3), dtype=torch.uint8, device="meta")  # no memory
    cuda_encode.histogram(engine, rgb, 17, channel_axis=axis)
    expression, blocks = engine.last
    assert expression.endswith(f"{SIDES[side]}>")
    tile, warps = 16 * cuda_encode.WARP, cuda_encode.HISTOGRAM_THREADS // cuda_encode.WARP
    tiles = -(-(side * side) // tile)
    assert 1 <= blocks <= max(tiles // warps, 1), "a block has something to do"
    assert -(-tiles // (blocks * warps)) * warps * tile < 2**32


# --- merge ------------------------------------------------------------------------------------------------------------


def merge_at(chroma: Array, luma: Array, offset: int = 0) -> Array:
    out = Guarded((*luma.shape, 3), "uint8", offset)
    cuda_merge.merge(ENGINE, chroma[None], luma[None], out=out.array[None])
    out.assert_unharmed()
    return out.array


def chroma_of(rng: np.random.Generator, height: int, width: int) -> Array:
    """Samples of which some are NaN."""
    chroma = rng.uniform(-0.5, 0.5, (2, height, width)).astype(np.float32)
    chroma[rng.random(chroma.shape) < 0.05] = np.nan
    return chroma


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_merge_does_not_depend_on_addresses(dtype: str) -> None:
    rng = np.random.default_rng(4)
    for height, width in ((1, 1), (3, 5), (7, 3), (5, 129), (16, 128), (9, 513)):
        luma = picture(rng, (height, width), dtype)
        chroma = chroma_of(rng, 3, 7)
        expected = merge_at(chroma, luma)
        compare.assert_merged(expected, chroma, luma)
        for offset in range(luma.itemsize, 16, luma.itemsize):
            np.testing.assert_array_equal(merge_at(chroma, at_offset(luma, offset)), expected)
        for offset in (1, 4, 8):
            np.testing.assert_array_equal(merge_at(chroma, luma, offset), expected)


# Widths beside chroma of 5 and 24 columns: four pixels lie among three columns beyond 3 x 5 and 3 x 24, eight beyond
# 7 x 5 and 7 x 24.
@pytest.mark.parametrize("width", [15, 16, 17, 35, 36, 72, 73, 168, 169, 253])
def test_both_ways_of_merge_agree(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(width)
    for columns in (5, 24):
        luma, chroma = picture(rng, (11, width), "float32"), chroma_of(rng, 4, columns)
        infinite = chroma.copy()
        infinite[rng.random(chroma.shape) < 0.05] = np.inf
        compare.assert_merged(merge_at(chroma, luma), chroma, luma)
        expected = merge_at(infinite, luma)
        with monkeypatch.context() as patch:
            patch.setattr(cuda_merge, "_is_wide", lambda *_: False)
            cuda_merge.axis.cache_clear()
            compare.assert_merged(merge_at(chroma, luma), chroma, luma)
            difference = merge_at(infinite, luma).astype(int) - expected
        cuda_merge.axis.cache_clear()
        assert np.abs(difference).max() <= 1, "an infinite neighbour of weight zero counts in one way only"


# --- large arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", RGB)
def test_wide_indices_change_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    bins = make.make_bins(rng, 32, 65)
    rgb, planar = picture(rng, (700, 3), dtype), picture(rng, (2, 3, 300), dtype)
    luma, chroma = picture(rng, (9, 129), "uint8"), chroma_of(rng, 3, 5)

    def results() -> tuple[Array, ...]:
        counts = [cuda_encode.histogram(ENGINE, rgb, cells) for cells in (17, 255)]
        return (*encode_at(rgb, bins, -1), *encode_at(planar, bins, 1), *counts, merge_at(chroma, luma))

    expected = results()
    for module in (cuda_encode, cuda_merge):
        monkeypatch.setattr(module, "index_type", lambda _: "fc::u64")
    assert_same(results(), expected)


# --- tables on the device ---------------------------------------------------------------------------------------------


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Empty caches; a list of what is copied."""
    copies: list[int] = []

    def copy(like: Array, table: Array) -> Array:
        copies.append(table.size)
        return table.copy()

    monkeypatch.setattr(cuda_tables, "_recent", {})
    monkeypatch.setattr(cuda_tables, "_lasting", {})
    monkeypatch.setattr(cuda_tables, "from_numpy", copy)
    return copies


def table_of(label: int) -> Array:
    return np.full((3, 3), label, np.uint8)


def test_tables_are_copied_once_for_each_content(tables: list[int]) -> None:
    like, table = np.zeros(1), table_of(1)
    first = cuda_tables.on_device(table, like)
    assert cuda_tables.on_device(table_of(1), like) is first
    table[0, 0] = 2
    assert (cuda_tables.on_device(table, like) == table).all()
    assert cuda_tables.on_device(table.reshape(1, 9), like).shape == (1, 9)
    assert len(tables) == 3


def test_tables_are_bounded(tables: list[int]) -> None:
    for label in range(cuda_tables.LIMIT + 10):
        cuda_tables.on_device(table_of(label), np.zeros(1))
    assert len(cuda_tables._recent) == cuda_tables.LIMIT


def test_the_device_is_waited_for_before_memory_is_used_again_and_after_a_copy(
    tables: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order: what reads the oldest table is done, it is given back, the new one is copied, the copy is done."""
    order: list[tuple[str, int]] = []
    copy = cuda_tables.from_numpy

    def noted(like: Array, table: Array) -> Array:
        assert len(cuda_tables._recent) < cuda_tables.LIMIT
        order.append(("copy", table[0, 0]))
        return copy(like, table)

    monkeypatch.setattr(cuda_tables, "from_numpy", noted)
    monkeypatch.setattr(cuda_tables, "synchronize", lambda array: order.append(("wait", array[0, 0])))
    for label in range(cuda_tables.LIMIT):
        cuda_tables.on_device(table_of(label), np.zeros(1))
    assert order == [(what, label) for label in range(cuda_tables.LIMIT) for what in ("copy", "wait")]
    order.clear()
    for label in (5, 200, 5, 201, 200):
        cuda_tables.on_device(table_of(label), np.zeros(1))
    assert order == [("wait", 0), ("copy", 200), ("wait", 200), ("wait", 1), ("copy", 201), ("wait", 201)]


def test_a_table_first_used_within_a_capture_is_an_error(tables: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that a graph reads stays, however many others come."""
    like = np.zeros(1)
    held = cuda_tables.on_device(table_of(1), like)
    with monkeypatch.context() as patch:
        patch.setattr(cuda_tables, "is_capturing", lambda _: True)
        with pytest.raises(RuntimeError, match=r"call .* once before the capture"):
            cuda_tables.on_device(table_of(2), like)
        assert cuda_tables.on_device(table_of(1), like) is held
    written = cuda_tables.on_device(table_of(0), like, "written", lasting=True)
    for label in range(2, cuda_tables.LIMIT + 10):
        cuda_tables.on_device(table_of(label), like)
    assert cuda_tables.on_device(table_of(1), like) is held
    assert cuda_tables.on_device(table_of(0), like, "written", lasting=True) is written
