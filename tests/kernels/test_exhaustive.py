"""All 2^24 colors: luma, label, weight and histogram of uint8 images, against plain integer arithmetic."""

from __future__ import annotations

from typing import Any

import anywhere
import compare
import numpy as np
import pytest
import strategies as make
from colors import LEVELS, all_colors, coordinate_bins
from fastcolor.reference.constants import MAX_CELLS, U_NUMERATOR_MAX, V_NUMERATOR_MAX

import fastcolor
from fastcolor import reference

# What does not depend on the number of cells, for all greens and blues: int32 holds every product up to K = 255.
_GREEN, _BLUE = LEVELS[:, None].astype(np.int32), LEVELS.astype(np.int32)
_U0 = 886 * _BLUE - 587 * _GREEN + U_NUMERATOR_MAX
_V0 = -114 * _BLUE - 587 * _GREEN + V_NUMERATOR_MAX


def true_cells(red: int, cells: int) -> tuple[Any, Any]:
    """The rule itself, written once more: ``min(K - 1, (a + a_max) K // (2 a_max))``."""
    u = np.minimum(cells - 1, (_U0 - 299 * red) * cells // (2 * U_NUMERATOR_MAX))
    v = np.minimum(cells - 1, (_V0 + 701 * red) * cells // (2 * V_NUMERATOR_MAX))
    return u, v


@pytest.mark.ops("encode")
@pytest.mark.parametrize("planar", [False, True])
def test_luma_label_and_weight_of_every_color(backend: str, planar: bool) -> None:
    bins = fastcolor.ColorBins.default()
    weights_of = bins.weights(0.2).astype(np.float32)
    for red in range(256):
        rgb = all_colors(red)
        image = np.ascontiguousarray(rgb.transpose(2, 0, 1)) if planar else rgb
        luma, labels, weights = anywhere.encode(image, bins, channel_axis=0 if planar else -1, backend=backend)
        expected = bins.table[true_cells(red, bins.cells)]
        assert np.array_equal(labels, expected), f"red {red}"
        assert np.array_equal(weights, weights_of[expected]), f"red {red}"
        exact = (299 * red + 587 * _GREEN + 114 * _BLUE) / 255_000
        assert (np.abs(luma - exact) <= compare.LUMA_ERROR * exact).all(), f"red {red}"


# Odd, even, a power of two, one whose scale float32 cannot hold well enough (43), two with many colors exactly on an
# edge (170 and 255 divide both ranges), and the largest K.
@pytest.mark.ops("encode")
@pytest.mark.parametrize("cells", [17, 65, 16, 10, 43, 170, 254, MAX_CELLS])
def test_cells_of_every_color(backend: str, cells: int) -> None:
    bins_u, bins_v = coordinate_bins(cells, 0, "yuv"), coordinate_bins(cells, 1, "yuv")
    for red in range(256):
        u, v = true_cells(red, cells)
        rgb = all_colors(red)
        for bins, expected in ((bins_u, u), (bins_v, v)):
            labels = anywhere.encode(rgb, bins, backend=backend)[1]
            assert np.array_equal(labels, expected), f"red {red}"


@pytest.mark.ops("encode")
def test_cells_of_edge_colors_for_every_number_of_cells(backend: str) -> None:
    """For each K in 1..255 the colors closest to an edge, where a rounding would show first."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (20_000, 3)).astype(np.uint8)
    rgb[:256] = LEVELS[:, None]
    rgb[256:264] = 255 * (np.arange(8)[:, None] >> np.arange(3) & 1)
    u = rgb.astype(np.int64) @ (-299, -587, 886) + U_NUMERATOR_MAX
    v = rgb.astype(np.int64) @ (701, -587, -114) + V_NUMERATOR_MAX
    for cells in range(1, 256):
        for axis, (shifted, width) in enumerate(((u, 2 * U_NUMERATOR_MAX), (v, 2 * V_NUMERATOR_MAX))):
            rest = shifted * cells % width
            closest = np.argpartition(np.minimum(rest, width - rest), 150)[:150]
            bins = coordinate_bins(cells, axis, "yuv")
            labels = anywhere.encode(rgb[closest], bins, backend=backend)[1]
            expected = np.minimum(cells - 1, shifted[closest] * cells // width)
            assert np.array_equal(labels, expected), f"K = {cells}, axis {axis}"


@pytest.mark.ops("histogram")
@pytest.mark.parametrize("cells", [17, 10])
def test_histogram_of_every_color(backend: str, cells: int) -> None:
    expected = np.zeros(cells * cells, np.int64)
    actual = np.zeros((cells, cells), np.int64)
    for red in range(256):
        u, v = true_cells(red, cells)
        expected += np.bincount((u * cells + v).ravel(), minlength=cells * cells)
        actual += anywhere.histogram(all_colors(red), cells, backend=backend)
    assert actual.sum() == 2**24
    assert np.array_equal(actual.ravel(), expected)


def test_fitting_counts_every_color_with_the_same_rule() -> None:
    """Moments are counted by the kernels, labels by encode: one rule for both, on every sixteenth red."""
    cells = 17
    moments = fastcolor.ChromaMoments([cells])
    counts = np.zeros((cells, cells), np.int64)
    sums = np.zeros((cells, cells, 2), np.int64)
    for red in range(0, 256, 16):
        rgb = all_colors(red)
        moments.add(rgb)
        part_counts, part_sums, _ = reference.chroma_moments(rgb, cells)
        counts += part_counts
        sums += part_sums
    arrays = moments.to_arrays()
    assert np.array_equal(arrays[f"counts_{cells}"].sum(axis=0), counts)
    assert np.array_equal(arrays[f"sums_{cells}"].sum(axis=0), sums)


def test_the_rule_written_here_is_the_reference_rule() -> None:
    bins = make.make_bins(np.random.default_rng(1), 255, 33)
    for red in (0, 1, 127, 255):
        u, v = reference.cell_of(all_colors(red), bins.cells)
        assert np.array_equal((u, v), true_cells(red, bins.cells))
