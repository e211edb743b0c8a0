"""Lab, many bins, soft targets and several images for CUDA, on the CPU: what sources claim, what the host chooses."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import cuda_images
import numpy as np
import pytest
import torch
from colors import LIGHT, coordinate_bins
from cuda_host.backend import ENGINE
from cuda_images import assert_same, picture
from fastcolor.kernels.common.candidates import CELLS, candidates
from fastcolor.kernels.cupy_cuda import encode as cuda_encode
from fastcolor.kernels.cupy_cuda import encode_soft as cuda_encode_soft
from fastcolor.kernels.cupy_cuda import merge as cuda_merge
from fastcolor.kernels.cupy_cuda.engine import Engine
from fastcolor.reference.color import rgb_to
from fastcolor.reference.constants import (
    AB_MAX,
    CHROMA_MAX,
    LAB_OFFSET,
    LAB_SLOPE,
    LAB_THRESHOLD,
    MAX_CELLS,
    SRGB_TO_XYZ,
    XYZ_WHITE,
)
from guarded import Guarded, at_offset

from fastcolor import reference

Array = np.ndarray
COUNTS = (1, 5, 64, 127, 129, 511, 513, 2049)  # around a group, a warp's tile and a block
RGB = ("uint8", "float32", "float64")
SPACES = ("yuv", "lab")
RESOLVED = 4e-10  # as to_lab.cuh says: no color lies closer to an edge


def bins_of(rng: np.random.Generator, n: int, cells: int, space: str = "lab") -> reference.ColorBins:
    """Any labels, and colors of which some lie close together or coincide."""
    colors = rng.uniform(-0.9, 0.9, (n, 2)) * CHROMA_MAX[space]
    colors[: n // 3] = colors[0] + 0.01 * colors[: n // 3].round(1)
    table = rng.integers(0, n, (cells, cells)).astype(np.uint8 if n <= 255 else np.uint16)
    prior = rng.random(n) + 0.01
    return reference.ColorBins(table, colors.astype(np.float32), prior / prior.sum(), space=space)


# --- exact cells ------------------------------------------------------------------------------------------------------


class Colors:
    """a, or b, of all 2^24 colors but black, ascending, and the numbers of the colors."""

    def __init__(self, values: Array) -> None:
        self.number = np.argsort(values).astype(np.uint32)
        self.number = self.number[self.number != 0]
        self.value = values[self.number]

    def near(self, edges: Array, reach: int) -> Array:
        """Where in order the `reach` colors to either side of each edge are."""
        at = np.searchsorted(self.value, edges)[:, None] + np.arange(-reach, reach)
        return at.clip(0, len(self.value) - 1)


@pytest.fixture(scope="module")
def colors() -> tuple[Colors, Colors]:
    x, y, z = (
        np.where(t > LAB_THRESHOLD, np.cbrt(t), LAB_SLOPE * t + LAB_OFFSET)
        for t in (
            np.add.outer(np.add.outer(red * LIGHT, green * LIGHT), blue * LIGHT).ravel()
            for red, green, blue in np.array(SRGB_TO_XYZ) / np.array(XYZ_WHITE)[:, None]
        )
    )
    return Colors(500 * (x - y)), Colors(200 * (y - z))


def test_the_colors_are_those_of_the_reference(colors: tuple[Colors, Colors]) -> None:
    for part, axis in enumerate(colors):
        some = slice(None, None, 99_991)
        truth = reference.rgb_to_lab(levels_of(axis.number[some]))[:, 1 + part]
        np.testing.assert_allclose(axis.value[some], truth, rtol=0, atol=1e-12)


def levels_of(number: Array) -> Array:
    """Colors by their number."""
    return np.stack([number >> 16, number >> 8 & 255, number & 255], axis=-1).astype(np.uint8)


def inner_edges(cells: int) -> Array:
    return (2 * np.arange(1, cells) / cells - 1) * AB_MAX


def test_no_color_lies_closer_to_an_edge_than_float64_resolves(colors: tuple[Colors, Colors]) -> None:
    edges = np.unique(np.concatenate([inner_edges(cells) for cells in range(1, MAX_CELLS + 1)]))
    for axis in colors:
        assert np.abs(axis.value[axis.near(edges, 1)] - edges[:, None]).min() > RESOLVED


def test_no_color_lies_closer_to_the_threshold_than_float64_resolves() -> None:
    """Else rounding could pick the other branch: they differ by 3.3e-7, 1.7e-4 of a."""
    for (red, green, blue), white in zip(SRGB_TO_XYZ, XYZ_WHITE, strict=True):
        # The light of blue that would be at the threshold, for each red and green.
        wanted = (LAB_THRESHOLD * white - red * LIGHT[:, None] - green * LIGHT) / blue
        above = np.searchsorted(LIGHT, wanted).clip(1, 255)
        closest = np.minimum(np.abs(LIGHT[above] - wanted), np.abs(LIGHT[above - 1] - wanted))
        assert closest.min() * blue / white > 1e-12


def test_cells_of_the_colors_closest_to_an_edge_for_every_number_of_cells(colors: tuple[Colors, Colors]) -> None:
    """For each K the colors on both sides of every edge, on both axes, and black."""
    for cells in range(1, MAX_CELLS + 1):
        for axis in range(2):
            near = colors[axis].near(inner_edges(cells), 2).ravel()
            rgb = levels_of(np.append(colors[axis].number[near], np.uint32(0)))
            labels = cuda_encode.encode(ENGINE, rgb, coordinate_bins(cells, axis, "lab"))[1]
            np.testing.assert_array_equal(labels, reference.cell_of(rgb, cells, "lab")[axis], f"K = {cells}")


def test_the_guard_band_is_needed_and_wide_enough(
    colors: tuple[Colors, Colors], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where float32 alone picks another cell, the color lies within half of the band, of which it is the middle."""
    original = cuda_encode.lab_grid

    def careless(cells: int) -> Any:
        grid = original(cells).copy()
        grid["a_sure"] = grid["b_sure"] = 1
        return grid

    monkeypatch.setattr(cuda_encode, "lab_grid", careless)
    for axis, name in enumerate(("a_sure", "b_sure")):
        band = 0.5 - float(original(MAX_CELLS)[name][0])  # of a cell, to either side of an edge
        near = colors[axis].near(inner_edges(MAX_CELLS), 100).ravel()
        rgb, at = levels_of(colors[axis].number[near]), (colors[axis].value[near] + AB_MAX) / (2 * AB_MAX) * MAX_CELLS
        labels = cuda_encode.encode(ENGINE, rgb, coordinate_bins(MAX_CELLS, axis, "lab"))[1]
        wrong = at[labels != np.floor(at)]
        assert len(wrong) > 10
        assert np.abs(wrong - wrong.round()).max() < band / 2


# --- encode and histogram ---------------------------------------------------------------------------------------------


encode_at = partial(cuda_images.encode_at, label="int16")


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("dtype", RGB)
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_encode_to_many_bins_does_not_depend_on_addresses(space: str, dtype: str, axis: int) -> None:
    rng = np.random.default_rng(0)
    bins, itemsize = bins_of(rng, 1024, 23, space), np.dtype(dtype).itemsize
    for count in COUNTS:
        rgb = picture(rng, {-1: (count, 3), 0: (3, count), 1: (2, 3, count)}[axis], dtype)
        luma, labels, weights = expected = encode_at(at_offset(rgb, 0), bins, axis)
        if dtype == "uint8":
            np.testing.assert_array_equal(labels, reference.encode(rgb, bins, channel_axis=axis)[1])
        np.testing.assert_array_equal(weights, bins.weights(0.2).astype(np.float32)[labels])
        assert np.isfinite(luma).all()
        for offset in (itemsize, 3 * itemsize):
            assert_same(encode_at(at_offset(rgb, offset), bins, axis), expected)
            assert_same(encode_at(rgb, bins, axis, offset=offset // itemsize), expected)


@pytest.mark.parametrize("label", ["uint16", "int32", "int64"])
def test_labels_beyond_a_byte_are_equal_in_every_type(label: str) -> None:
    rng = np.random.default_rng(1)
    bins = bins_of(rng, 1024, 255)
    rgb = picture(rng, (1500, 3), "uint8")
    expected = encode_at(rgb, bins, -1)
    assert expected[1].max() > 255
    for offset in (0, 1):
        assert_same(encode_at(rgb, bins, -1, label=label, offset=offset), expected)


@pytest.mark.parametrize("dtype", RGB)
def test_weights_by_value_and_in_a_table_are_the_same(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    few = bins_of(rng, 255, 40)
    rgb = picture(rng, (700, 3), dtype)
    expected = encode_at(rgb, few, -1)
    monkeypatch.setattr(cuda_encode, "FEW_BINS", 254)
    assert_same(encode_at(rgb, replace(few, table=few.table.astype(np.uint16)), -1), expected)


@pytest.mark.parametrize("cells", [1, 2, 23, cuda_encode.LOCAL_CELLS, cuda_encode.LOCAL_CELLS + 1, 255])
@pytest.mark.parametrize("axis", [-1, 0])
def test_histogram_in_lab_counts_each_pixel_once(cells: int, axis: int) -> None:
    rng = np.random.default_rng(cells)
    rgb = picture(rng, (3, 20_011) if axis == 0 else (20_011, 3), "uint8")
    counts = cuda_encode.histogram(ENGINE, rgb, cells, space="lab", channel_axis=axis)
    np.testing.assert_array_equal(counts, reference.histogram(rgb, cells, space="lab", channel_axis=axis))


# --- soft targets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 3), (32, 5), (40, 32), (313, 10), (1024, 5)])
def test_candidates_hold_the_nearest_bins(space: str, n: int, k: int) -> None:
    """Of any color that RGB may have, beyond [0, 1] by the allowance, too, and of corners and edges of cells."""
    rng = np.random.default_rng(n)
    bins, top = bins_of(rng, n, 23, space), np.array(CHROMA_MAX[space])
    near = candidates(bins, k)
    assert len(near.first) == CELLS**2 + 1
    anywhere = rgb_to(space, rng.uniform(-1 / 256, 1 + 1 / 256, (1000, 3)))[:, 1:]
    edges = np.array(make_corners(rng, top))
    for point in np.concatenate([anywhere, edges, bins.colors.astype(np.float64)[:100]]):
        cell = np.clip(np.floor((point + top) / (2 * top) * CELLS), 0, CELLS - 1).astype(int)
        which = cell[0] * CELLS + cell[1]
        held = near.bins[near.first[which] : near.first[which + 1]]
        squares = ((bins.colors.astype(np.float64) - point) ** 2).sum(axis=-1)
        assert np.isin(np.argsort(squares, kind="stable")[:k], held).all()
        assert (np.diff(held.astype(int)) > 0).all()


def make_corners(rng: np.random.Generator, top: Array) -> Array:
    """Where cells meet, and a rounding to either side."""
    corners = (2 * rng.integers(0, CELLS + 1, (300, 2)) / CELLS - 1) * top
    return corners * (1 + rng.integers(-1, 2, corners.shape) * 2.0**-23)


def soft_at(
    rgb: Array, bins: Any, channel: int, axis: int, k: int, label: str = "int16", offset: int = 0, **options: Any
) -> tuple[Array, ...]:
    """Luma, labels, shares, weights; labels and shares have k on `axis`."""
    shape = tuple(np.delete(rgb.shape, channel))
    soft = (*shape[:axis], k, *shape[axis:])
    kinds = (shape, "float32"), (soft, label), (soft, "float32"), (shape, "float32")
    out = [Guarded(of, dtype, offset * np.dtype(dtype).itemsize) for of, dtype in kinds]
    arrays = tuple(o.array for o in out)
    options = {"neighbors": k, "sigma": 0.1 if bins.space == "yuv" else 5.0, "channel_axis": channel, **options}
    cuda_encode_soft.encode_soft(ENGINE, rgb, bins, axis=axis, label_dtype=label, out=arrays, **options)
    for guarded in out:
        guarded.assert_unharmed()
    return arrays


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("dtype", "k"), [("uint8", 5), ("uint8", 12), ("float32", 4), ("float64", 6)])
def test_soft_targets_do_not_depend_on_where_they_lie(space: str, dtype: str, k: int) -> None:
    """Any axis of the result, any layout of the RGB, any address."""
    rng = np.random.default_rng(k)
    bins = bins_of(rng, 60, 23, space)
    for count in (1, 130, 515):
        rgb = picture(rng, (2, 3, count), dtype)
        luma, labels, shares, weights = soft_at(rgb, bins, 1, 2, k)
        np.testing.assert_allclose(shares.sum(axis=2), 1, atol=2e-6)
        assert (np.diff(shares, axis=2) <= 0).all()
        assert (np.sort(labels, axis=2)[..., 1:] != np.sort(labels, axis=2)[..., :-1]).all()
        np.testing.assert_array_equal(weights, bins.weights(0.2).astype(np.float32)[labels[..., 0]])
        seen = np.ascontiguousarray(np.moveaxis(rgb, 1, -1))
        for axis in range(3):
            for channel, image in ((1, rgb), (2, seen)):
                for offset in (0, 1):
                    moved = at_offset(image, offset * image.itemsize)
                    got = soft_at(moved, bins, channel, axis, k, "int16", offset)
                    back = (got[0], np.moveaxis(got[1], axis, 2), np.moveaxis(got[2], axis, 2), got[3])
                    assert_same(back, (luma, labels, shares, weights))


@pytest.mark.parametrize("label", ["uint8", "uint16", "int32", "int64"])
def test_soft_labels_are_equal_in_every_type(label: str) -> None:
    rng = np.random.default_rng(9)
    bins = bins_of(rng, 255 if label == "uint8" else 1000, 23)
    rgb = picture(rng, (150, 3), "uint8")
    for axis in range(2):
        assert_same(soft_at(rgb, bins, -1, axis, 5, label), soft_at(rgb, bins, -1, axis, 5))


@pytest.mark.parametrize("space", SPACES)
def test_the_first_of_many_neighbors_are_those_of_few(space: str) -> None:
    """Every instance finds the same bins in the same order."""
    rng = np.random.default_rng(3)
    bins = bins_of(rng, 100, 23, space)
    rgb = picture(rng, (400, 3), "uint8")
    most = soft_at(rgb, bins, -1, 1, 32)[1]
    for k in (1, 2, 5, 7, 10, 11):
        np.testing.assert_array_equal(soft_at(rgb, bins, -1, 1, k)[1], most[:, :k])


def test_the_mean_of_the_weights() -> None:
    rng = np.random.default_rng(4)
    bins = bins_of(rng, 1024, 23)
    rgb = picture(rng, (3, 300), "uint8")
    _, labels, shares, weights = soft_at(rgb, bins, 0, 0, 9, "uint16", weighting="mean", lam=0.5)
    expected = (shares.astype(np.float64) * bins.weights(0.5)[labels]).sum(axis=0)
    np.testing.assert_allclose(weights, expected, rtol=2e-6)


@pytest.mark.parametrize("sigma", [1e-30, 1e-4, 1e30])
def test_any_sigma_gives_shares(sigma: float) -> None:
    rng = np.random.default_rng(5)
    bins = replace(bins_of(rng, 20, 23), colors=np.stack([np.arange(20), np.arange(20)], -1).astype(np.float32))
    shares = soft_at(picture(rng, (100, 3), "uint8"), bins, -1, 0, 4, sigma=sigma)[2]
    np.testing.assert_allclose(shares[0], 1 if sigma < 1 else 0.25, rtol=1e-6)


def test_nan_takes_the_first_bins_and_shares_that_are_nan() -> None:
    rgb = np.full((3, 3), np.nan, np.float32)
    rgb[1] = 0.5
    for space in SPACES:
        luma, labels, shares, _ = soft_at(rgb, bins_of(np.random.default_rng(6), 50, 23, space), -1, 1, 3)
        np.testing.assert_array_equal(labels[::2], [[0, 1, 2]] * 2)
        np.testing.assert_array_equal(np.isnan(shares).all(axis=1), [True, False, True])
        np.testing.assert_array_equal(np.isnan(luma), [True, False, True])


# --- merge ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (16, 128), (9, 513)])
def test_images_are_merged_like_single_ones(space: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    top = np.array(CHROMA_MAX[space])[:, None, None]
    chroma = (rng.uniform(-0.5, 0.5, (5, 2, 3, 7)) * top).astype(np.float32)
    chroma[rng.random(chroma.shape) < 0.02] = np.nan
    for dtype in ("uint8", "float32") if space == "yuv" else ("float32",):
        luma = picture(rng, (5, *size), dtype)
        luma = luma * np.float32(100) if space == "lab" else luma
        for offset in (0, luma.itemsize):
            out = Guarded((*luma.shape, 3), "uint8", offset)
            cuda_merge.merge(ENGINE, chroma, at_offset(luma, offset), space=space, out=out.array)
            out.assert_unharmed()
            for image in range(5):
                alone = cuda_merge.merge(ENGINE, chroma[image, None], luma[image, None], space=space)
                np.testing.assert_array_equal(out.array[image], alone[0])
        difference = np.abs(out.array.astype(int) - reference.merge(chroma, luma, space=space))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


# --- large arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", RGB)
def test_wide_indices_change_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    bins = bins_of(rng, 300, 23)
    rgb, planar = picture(rng, (700, 3), dtype), picture(rng, (2, 3, 300), dtype)
    chroma = rng.uniform(-60, 60, (3, 2, 3, 5)).astype(np.float32)
    luma = (100 * rng.random((3, 9, 129))).astype(np.float32)

    def results() -> tuple[Array, ...]:
        counts = [cuda_encode.histogram(ENGINE, rgb, cells, space="lab") for cells in (23, 255)]
        soft = (*soft_at(rgb, bins, -1, 1, 5), *soft_at(planar, bins, 1, 1, 5))
        merged = cuda_merge.merge(ENGINE, chroma, luma, space="lab")
        return (*encode_at(rgb, bins, -1), *encode_at(planar, bins, 1), *counts, *soft, merged)

    expected = results()
    for module in (cuda_encode, cuda_merge):
        monkeypatch.setattr(module, "index_type", lambda _: "fc::u64")
    assert_same(results(), expected)


@pytest.mark.parametrize(("k", "index"), [(1, "fc::u32"), (7, "fc::u32"), (8, "fc::u64"), (32, "fc::u64")])
def test_the_index_counts_all_labels(k: int, index: str) -> None:
    """2^28 pixels, of which no array is made."""
    engine = Written(lambda **_: None, lambda _: nullcontext())
    rgb = torch.empty((1 << 14, 1 << 14, 3), dtype=torch.uint8, device="meta")
    bins = bins_of(np.random.default_rng(10), 40, 23)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_encode_soft, "on_device", lambda table, *_: table)
        cuda_encode_soft.encode_soft(engine, rgb, bins, neighbors=k, axis=-1)
    assert engine.last.endswith(f"{index}>")


class Written(Engine):
    """The last launch is written down, and nothing runs."""

    last: str

    def launch(self, like: Any, name: str, expression: str, *_: Any) -> None:
        self.last = expression
