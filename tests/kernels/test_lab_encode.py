"""Encode, histogram and moments in Lab: every uint8 color exactly, floats within rounding, any type and layout."""

from __future__ import annotations

from typing import Any

import anywhere
import compare_lab
import numpy as np
import pytest
import strategies as make
from colors import LIGHT, all_colors, coordinate_bins
from fastcolor.kernels import registry
from fastcolor.kernels.numba_cpu import lab
from fastcolor.kernels.numba_cpu.jit import jit
from fastcolor.kernels.numba_cpu.near import REACH
from fastcolor.kernels.numba_cpu.pixels import load_pixels
from fastcolor.kernels.numba_cpu.simd import LANES, store
from fastcolor.reference.cells import cell_of_chroma
from fastcolor.reference.color import rgb_to, rgb_to_lab
from fastcolor.reference.constants import (
    AB_FIXED,
    AB_MAX,
    CHROMA_MAX,
    LAB_OFFSET,
    LAB_SLOPE,
    LAB_THRESHOLD,
    SRGB_TO_XYZ,
    XYZ_WHITE,
)

import fastcolor
from fastcolor import reference

DTYPES = ("uint8", "uint16", "int16", "int32", "int64")
FLOATS = ("float32", "float64")


def true_lab(red: int) -> Any:
    """L, a, b of :func:`all_colors`, in float64: the definition once more, with one power for each level."""
    linear = np.stack(np.broadcast_arrays(LIGHT[red], LIGHT[:, None], LIGHT), axis=-1)
    t = linear @ (np.array(SRGB_TO_XYZ) / np.array(XYZ_WHITE)[:, None]).T
    x, y, z = np.moveaxis(np.where(t > LAB_THRESHOLD, np.cbrt(t), LAB_SLOPE * t + LAB_OFFSET), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def test_the_definition_written_here_is_that_of_the_reference() -> None:
    for red in (0, 1, 127, 255):
        np.testing.assert_allclose(true_lab(red), rgb_to_lab(all_colors(red)), atol=1e-11)


def bins_of(rng: np.random.Generator, n: int, cells: int) -> reference.ColorBins:
    """Any labels in either type of table, and a prior."""
    table = rng.integers(0, n, (cells, cells)).astype(np.uint8 if n <= 255 else np.uint16)
    colors = rng.uniform(-110, 110, (n, 2)).astype(np.float32)
    prior = rng.random(n) + 0.01
    return reference.ColorBins(table, colors, prior / prior.sum(), space="lab")


def in_double(backend: str) -> bool:
    """Whether a backend takes float RGB in float64."""
    return backend == "numba"


# --- every color ------------------------------------------------------------------------------------------------------


@pytest.mark.ops("encode", "histogram")
def test_the_313_bins_of_every_color(backend: str) -> None:
    """Label and weight of float64, L within its bound; what the histogram counts adds up to the labels' cells."""
    bins = fastcolor.ColorBins.zhang()
    weights_of = bins.weights(0.2).astype(np.float32)
    counts, expected_counts = np.zeros((23, 23), np.int64), np.zeros(23 * 23, np.int64)
    for red in range(256):
        rgb = all_colors(red)
        image, axis = (np.ascontiguousarray(rgb.transpose(2, 0, 1)), 0) if red % 2 else (rgb, -1)
        luma, labels, weights = anywhere.encode(image, bins, channel_axis=axis, backend=backend)
        truth = true_lab(red)
        cell_a, cell_b = cell_of_chroma(truth[..., 1:], 23, "lab")
        assert np.array_equal(labels, bins.table[cell_a, cell_b]), f"red {red}"
        assert np.array_equal(weights, weights_of[labels]), f"red {red}"
        assert np.abs(luma - truth[..., 0]).max() <= compare_lab.L_ERROR, f"red {red}"
        assert 0 <= luma.min() <= luma.max() <= 100
        counts += anywhere.histogram(image, 23, space="lab", channel_axis=axis, backend=backend)
        expected_counts += np.bincount((cell_a * 23 + cell_b).ravel(), minlength=23 * 23)
    assert np.array_equal(counts.ravel(), expected_counts)


# Odd and even, few and most; with an even number black, and only black, lies on an edge.
@pytest.mark.ops("encode")
def test_cells_of_every_color(backend: str) -> None:
    """On the CPU a GPU's sources see a red in fifty: test_cuda_lab has the colors next to every edge, for every K."""
    wanted = [(cells, axis, coordinate_bins(cells, axis, "lab")) for cells in (255, 17, 1, 2, 254) for axis in (0, 1)]
    for red in range(0, 256, 51 if backend == "cuda-host" else 1):
        rgb = all_colors(red)
        ab = (true_lab(red)[..., 1:] + AB_MAX) / (2 * AB_MAX)
        for cells, axis, bins in wanted:
            labels = anywhere.encode(rgb, bins, backend=backend)[1]
            assert np.array_equal(labels, (ab[..., axis] * cells).astype(np.uint8)), f"red {red}, {cells} cells"


@jit
def _differences(rgb, count, along_a, along_b):
    for pixel in range(0, count, LANES):
        red, green, blue = load_pixels(rgb, 0, pixel, count, False)
        _, a, b = lab.lab_of(red, green, blue)
        store(along_a, pixel, a)
        store(along_b, pixel, b)


def test_float32_stays_within_the_guard_band() -> None:
    """What the derivation says of a and b, in cells; and how many colors it sends to float64."""
    along_a, along_b, close = np.empty(1 << 16, np.float32), np.empty(1 << 16, np.float32), 0
    for red in range(0, 256, 15):
        rgb = all_colors(red)
        _differences(rgb.reshape(-1), 1 << 16, along_a, along_b)
        ab = true_lab(red)[..., 1:].reshape(-1, 2)
        for truth, along, unit in zip(ab.T, (along_a, along_b), (500.0, 200.0), strict=True):
            assert np.abs(unit * along.astype(np.float64) - truth).max() / (2 * AB_MAX) <= lab.GUARD
        share = (ab + AB_MAX) / (2 * AB_MAX) * 23
        close += int((np.abs(share - np.rint(share)) < 23 * lab.GUARD).any(axis=-1).sum())
    assert close / (18 << 16) < 3e-4


def test_moments() -> None:
    """Those of the reference; one unit more or less where 2048 a is within rounding of a half."""
    kernels = registry.load("numba")
    for red in (1, 128):
        rgb = all_colors(red)
        counts, sums, squares = kernels.chroma_moments(rgb, 17, space="lab")
        expected = reference.chroma_moments(rgb, 17, space="lab")
        assert np.array_equal(counts, expected[0])
        ab = rgb_to_lab(rgb)[..., 1:] * AB_FIXED
        ties = int((np.abs(ab - np.floor(ab) - 0.5) < 1e-8).sum())
        assert np.abs(sums - expected[1]).sum() <= ties
        np.testing.assert_allclose(squares, expected[2], rtol=1e-9)


# --- types, layouts, sizes --------------------------------------------------------------------------------------------


@pytest.mark.ops("encode")
@pytest.mark.parametrize(
    ("n", "cells", "dtype"),
    [(n, k, dtype) for n, k in ((7, 23), (255, 64), (1024, 255)) for dtype in DTYPES if n < 256 or dtype != "uint8"],
)
def test_types_of_labels(backend: str, dtype: str, n: int, cells: int) -> None:
    rng = np.random.default_rng(n)
    bins, rgb = bins_of(rng, n, cells), make.make_rgb(rng, "uniform", (37, 41))
    for image in (rgb, (rgb / 255).astype(np.float32)):
        _, labels, weights = anywhere.encode(image, bins, lam=0.5, label_dtype=dtype, backend=backend)
        assert labels.dtype == dtype
        compare_lab.assert_lab_labels_match(labels, image, bins, double=in_double(backend))
        assert np.array_equal(weights, bins.weights(0.5).astype(np.float32)[labels])


@pytest.mark.ops("encode", "histogram")
@pytest.mark.parametrize("dtype", ["uint8", *FLOATS])
@pytest.mark.parametrize("layout", make.LAYOUTS)
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_layouts(backend: str, dtype: str, layout: str, axis: int) -> None:
    rng = np.random.default_rng(1)
    bins = bins_of(rng, 32, 23)
    for shape in ((1, 1), (3, 5), (4, 33), (2, 4, 9)):
        rgb = make.make_rgb(rng, "near_gray" if len(shape) > 2 else "uniform", shape)
        rgb = rgb if dtype == "uint8" else rgb / 255
        image = make.as_kind(np.moveaxis(rgb, -1, axis), "numpy", dtype, layout)
        seen = np.moveaxis(image, axis, -1)
        luma, labels, _ = anywhere.encode(image, bins, channel_axis=axis, backend=backend)
        compare_lab.assert_lab_labels_match(labels, seen, bins, double=in_double(backend))
        compare_lab.assert_lab_luma_close(luma, seen)
        counts = anywhere.histogram(image, 23, space="lab", channel_axis=axis, backend=backend)
        assert counts.sum() == labels.size
        if dtype == "uint8":
            assert np.array_equal(counts, reference.histogram(seen, 23, space="lab"))


# --- floats -----------------------------------------------------------------------------------------------------------


@pytest.mark.ops("encode")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("space", ["yuv", "lab"])
def test_nan_lies_in_the_middle_cell(backend: str, dtype: str, space: str) -> None:
    bins = reference.ColorBins(
        *(np.arange(9).reshape(3, 3).astype(np.uint8), np.zeros((9, 2), np.float32), np.full(9, 1 / 9)), space=space
    )
    rgb = np.random.default_rng(1).random((40, 3)).astype(dtype)
    rgb[::3, 1] = np.nan
    luma, labels, _ = anywhere.encode(rgb, bins, backend=backend)
    assert np.isnan(luma[::3]).all()
    assert (labels[::3] == 4).all()
    assert not np.isnan(luma[1::3]).any()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("space", ["yuv", "lab"])
@pytest.mark.parametrize("value", [1.01, -0.01, 255.0, np.inf, -np.inf])
def test_floats_outside_their_range(dtype: str, space: str, value: float) -> None:
    backend = "numba"  # a GPU is not asked to look
    bins = reference.ColorBins(np.zeros((3, 3), np.uint8), np.zeros((1, 2), np.float32), np.ones(1), space=space)
    rgb = np.random.default_rng(1).uniform(*make.UNIT, (5, 7, 3)).astype(dtype)
    rgb[0, 0] = np.nan
    anywhere.encode(rgb, bins, backend=backend)
    rgb[2, 3, 1] = value
    for call in (
        lambda: anywhere.encode(rgb, bins, backend=backend),
        lambda: anywhere.encode_soft(rgb, bins, neighbors=1, backend=backend),
        lambda: anywhere.histogram(rgb, 3, space=space, backend=backend),
    ):
        with pytest.raises(ValueError, match="rgb"):
            call()


def test_the_space_that_floats_may_leave_is_covered() -> None:
    """Chroma of RGB that exceeds [0, 1] by the allowance, at the corners and on the edges of its cube."""
    low, high = make.UNIT
    ramp = np.linspace(low, high, 101)
    rgb = np.stack(np.meshgrid(ramp, [low, high], [low, high], indexing="ij"), axis=-1).reshape(-1, 3)
    for space, tops in CHROMA_MAX.items():
        for axis in range(3):
            chroma = rgb_to(space, np.roll(rgb, axis, axis=-1))[:, 1:]
            assert (np.abs(chroma) <= np.array(tops) * REACH).all()
