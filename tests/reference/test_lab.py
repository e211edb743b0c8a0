"""CIE Lab in the reference: the figures that the definitions promise, on all 2^24 colors where they speak of all."""

from __future__ import annotations

import numpy as np
import pytest
from fastcolor.reference import cells, centers
from fastcolor.reference.color import check_chroma, rgb_to_lab, within
from fastcolor.reference.constants import AB_FIXED, LAB_OFFSET, LAB_SLOPE, LAB_THRESHOLD

from fastcolor import reference


def colors(step: int = 1) -> np.ndarray:
    """Every `step`-th uint8 color along each channel, with both ends."""
    ramp = np.unique(np.append(np.arange(0, 256, step), 255)).astype(np.uint8)
    return np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1).reshape(-1, 3)


def test_lab_of_known_colors() -> None:
    """Against values of scikit-image 0.25, whose constants are the same (rgb2lab, D65, 2 degrees)."""
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]], np.uint8)
    expected = [
        [53.24058794, 80.09230823, 67.20275104],
        [87.73509949, -86.18302974, 83.17970318],
        [32.29567257, 79.18559091, -107.85730021],
        [100.0, -0.00245494, 0.00465342],
        [0.0, 0.0, 0.0],
    ]
    np.testing.assert_allclose(rgb_to_lab(rgb), expected, atol=5e-7)


def test_lab_and_back_is_the_identity_on_colors() -> None:
    rgb = colors(5)
    assert (reference.to_uint8(reference.lab_to_rgb(rgb_to_lab(rgb))) == rgb).all()


def test_the_rounded_numbers_of_lab_leave_a_step_at_the_threshold() -> None:
    """Of 3.3e-7 in f, so that a jumps by 1.6e-4: kernels must not take the other side of it for rounding."""
    step = np.cbrt(LAB_THRESHOLD) - (LAB_SLOPE * LAB_THRESHOLD + LAB_OFFSET)
    assert 3.2e-7 < step < 3.4e-7


def test_extent_of_ab_and_the_distance_to_the_grid_of_ten() -> None:
    """Over all 2^24 colors: the ranges, and that none lies within 4.2e-8 of a boundary."""
    low, high, least = np.full(2, np.inf), np.full(2, -np.inf), np.inf
    ramp = np.arange(256, dtype=np.uint8)
    plane = np.stack(np.meshgrid(ramp, ramp, indexing="ij"), axis=-1).reshape(-1, 2)
    for red in range(256):
        ab = rgb_to_lab(np.concatenate([np.full((65536, 1), red, np.uint8), plane], axis=-1))[:, 1:]
        low, high = np.minimum(low, ab.min(axis=0)), np.maximum(high, ab.max(axis=0))
        boundary = np.abs(ab / 10 - 0.5 - np.rint(ab / 10 - 0.5)) * 10
        least = min(least, float(boundary.min()))
    np.testing.assert_allclose([low, high], [[-86.183, -107.857], [98.233, 94.478]], atol=1e-3)
    assert 4.2e-8 < least < 5e-8


def test_the_313_are_the_published_ones() -> None:
    """What is known of ``pts_in_hull.npy``: its shape, its order, its first rows (richzhang/colorization, issue 23)."""
    points = centers.zhang_centers()
    assert points.shape == (313, 2)
    assert points[:3].tolist() == [[-90, 50], [-90, 60], [-90, 70]]
    assert (points == points[np.lexsort((points[:, 1], points[:, 0]))]).all()
    assert (points % 10 == 0).all()
    assert points.min(axis=0).tolist() == [-90, -110]
    assert points.max(axis=0).tolist() == [100, 100]


@pytest.mark.parametrize(("half_width", "same"), [(9.73, True), (10.069, True), (9.72, False), (10.08, False)])
def test_the_313_hold_for_a_range_of_half_widths(
    half_width: float, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = centers.grid_centers(10.0)
    monkeypatch.setattr(centers, "grid_centers", lambda step, space: grid)
    monkeypatch.setattr(centers, "GRID_STEP", half_width)
    assert (len(centers.zhang_centers.__wrapped__()) == 313) == same


def test_hard_labels_are_the_nearest_of_the_313() -> None:
    bins = reference.bins_of_centers(centers.zhang_centers())
    rgb = np.random.default_rng(0).integers(0, 256, (20_000, 3), dtype=np.uint8)
    _, labels, _ = reference.encode(rgb, bins)
    distances = ((rgb_to_lab(rgb)[:, None, 1:] - bins.colors.astype(np.float64)) ** 2).sum(axis=-1)
    assert (labels == distances.argmin(axis=-1)).all()
    assert (bins.colors[labels] == 10 * np.rint(rgb_to_lab(rgb)[:, 1:] / 10)).all()


def test_a_whole_grid_is_numbered_row_by_row() -> None:
    bins = reference.bins_of_centers(centers.grid_centers(10.0))
    assert (bins.n, bins.cells, bins.table.dtype) == (529, 23, np.uint16)
    _, label, _ = reference.encode(np.array([[255, 0, 0]], np.uint8), bins)
    assert label.tolist() == [23 * (8 + 11) + (7 + 11)]  # a = 80.09, b = 67.2


@pytest.mark.parametrize("n", [1, 2, 255, 256, 1024])
def test_any_centers_have_the_nearest_of_each_cell(n: int) -> None:
    points = np.random.default_rng(n).uniform(-100, 100, (n, 2))
    bins = reference.bins_of_centers(points)
    assert bins.table.dtype == (np.uint8 if n <= 255 else np.uint16)
    middle = cells.cell_midpoints(bins.cells, "lab")
    some = np.random.default_rng(0).integers(0, bins.cells, (200, 2))
    for i, j in some:
        distances = ((middle[i, j] - points) ** 2).sum(axis=-1)
        assert distances[bins.table[i, j]] == distances.min()


def test_moments_in_lab_are_sums_of_whole_numbers() -> None:
    rgb = colors(51)
    counts, sums, squares = reference.chroma_moments(rgb, 23, space="lab")
    ab = rgb_to_lab(rgb)[:, 1:]
    assert counts.sum() == len(rgb)
    np.testing.assert_allclose(sums.sum(axis=(0, 1)) / AB_FIXED, ab.sum(axis=0), atol=len(rgb) / AB_FIXED)
    np.testing.assert_allclose(squares / AB_FIXED**2, (ab**2).sum(axis=0), rtol=1e-3)
    bins = reference.fit_bins(counts, sums, 20, space="lab")
    assert bins.space == "lab"
    error = np.sqrt(((ab - bins.colors[bins.table[cells.cell_of(rgb, 23, "lab")]]) ** 2).sum(axis=-1).mean())
    assert reference.quantization_error(bins, counts, sums, squares) == pytest.approx(error, rel=1e-3)


def test_weights_are_finite_whatever_the_prior() -> None:
    for lam in (0.0, 0.2, 1.0):
        w = reference.class_weights([0.5, 0.0, 0.5, 0.0], lam)
        assert np.isfinite(w).all()
        assert (w[[1, 3]] >= w[0]).all()
    assert reference.class_weights([0.5, 0.0, 0.5], 0.0).tolist() == [1.0, 1.0, 1.0]


def test_what_leaves_its_range_is_told() -> None:
    within("luma", [np.nan, -0.003, 1.003], 0.0, 1.0)  # rounding to bfloat16
    for values in ([1.01], [-np.inf], [np.inf], [200.0]):
        with pytest.raises(ValueError, match=r"^luma: expected values in \[0, 1\]"):
            within("luma", values, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"^chroma, first of yuv: expected"):
        check_chroma(np.full((2, 1, 1), 40.0), "yuv", -3)
    with pytest.raises(ValueError, match=r"^rgb: expected"):
        reference.encode(np.full((1, 3), 200.0), reference.bins_of_centers([[0, 0]]))
    with pytest.raises(ValueError, match=r"^luma: expected"):
        reference.merge(np.zeros((2, 1, 1)), np.full((1, 1), np.inf))
    with pytest.raises(TypeError, match=r"^luma: expected floats"):
        reference.merge(np.zeros((2, 1, 1)), np.zeros((1, 1), np.uint8), space="lab")


def test_merge_takes_batches_and_joins_lab() -> None:
    rgb = colors(51).reshape(6, 6, 6, 3)
    lab = rgb_to_lab(rgb)
    merged = reference.merge(np.moveaxis(lab[..., 1:], -1, 1), lab[..., 0], space="lab")
    assert (merged == rgb).all()


def test_decode_of_few_logits_on_a_larger_luma_is_a_merge() -> None:
    bins = reference.bins_of_centers(centers.zhang_centers())
    rng = np.random.default_rng(1)
    logits, luma = rng.normal(size=(2, 313, 3, 4)), rng.uniform(0, 100, (2, 7, 9))
    chroma = reference.annealed_mean(logits, bins)
    assert (reference.decode(logits, luma, bins) == reference.merge(chroma, luma, space="lab")).all()
