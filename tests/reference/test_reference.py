"""The reference: against outsiders (scikit-image, SciPy, torch, OpenCV), against brute force, and by its laws."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.special
import skimage.color
import strategies as make
import torch
from fastcolor.reference import cells as cells_module
from fastcolor.reference import constants
from fastcolor.reference.bins import nearest_cell_table, nearest_center_table
from fastcolor.reference.constants import U_MAX, U_NUMERATOR_MAX, U_SCALE, V_MAX, V_NUMERATOR_MAX, V_SCALE
from fastcolor.reference.fitting import frequent_cells, label_means
from hypothesis import given
from hypothesis import strategies as st

from fastcolor import reference

ODD_CELLS = (1, 3, 5, 9, 17, 33, 65, 255, 1023)
EVEN_CELLS = (2, 4, 10, 16, 100, 256, 1024)
CUBE = np.array(list(itertools.product((0, 1, 51, 127, 128, 204, 254, 255), repeat=3)), np.uint8)


def images(seed: int = 0, count: int = 3, side: int = 40) -> list[Any]:
    """Blurred noise: a few dominant colors and a long tail, as in photographs."""
    rng = np.random.default_rng(seed)
    base = rng.normal(110, 45, (count, side // 8, side // 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    return list(np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8))


def moments(cells: int, **options: Any) -> tuple[Any, Any, Any]:
    parts = [reference.chroma_moments(image, cells) for image in images(**options)]
    counts, sums, squares = (sum(part) for part in zip(*parts, strict=True))
    return counts, sums, squares


# --- color ------------------------------------------------------------------------------------------------------------


def test_yuv_is_that_of_scikit_image_up_to_its_constants() -> None:
    """scikit-image types .43601035 and .61497538 where BT.601 has .436 and .615: rescaled, all three agree to 1e-7."""
    rgb = CUBE / 255
    theirs = skimage.color.rgb2yuv(rgb)
    rescaled = theirs * (1, U_MAX / 0.43601035, V_MAX / 0.61497538)
    np.testing.assert_allclose(reference.rgb_to_yuv(rgb), rescaled, rtol=0, atol=1e-7)
    assert np.abs(reference.rgb_to_yuv(rgb) - theirs).max() < 4e-5


def test_matrix_is_that_of_bt601() -> None:
    """ITU-R BT.601 with U = .436 at blue and V = .615 at red; white is Y = 1, U = V = 0."""
    eye = reference.rgb_to_yuv(np.eye(3))
    np.testing.assert_allclose(eye[:, 0], (0.299, 0.587, 0.114), rtol=0, atol=1e-15)
    np.testing.assert_allclose(eye[2, 1], 0.436, rtol=1e-15)
    np.testing.assert_allclose(eye[0, 2], 0.615, rtol=1e-15)
    np.testing.assert_allclose(eye.sum(axis=0), (1, 0, 0), rtol=0, atol=1e-15)
    np.testing.assert_allclose(reference.rgb_to_yuv([1.0, 1.0, 0.0])[1], -0.436, rtol=1e-15)
    np.testing.assert_allclose(reference.rgb_to_yuv([0.0, 1.0, 1.0])[2], -0.615, rtol=1e-15)


def test_yuv_round_trip_is_exact_in_uint8() -> None:
    np.testing.assert_array_equal(reference.to_uint8(reference.yuv_to_rgb(reference.rgb_to_yuv(CUBE))), CUBE)


@given(make.generators)
def test_yuv_round_trip_in_float64(rng: np.random.Generator) -> None:
    rgb = rng.random((50, 3))
    np.testing.assert_allclose(reference.yuv_to_rgb(reference.rgb_to_yuv(rgb)), rgb, rtol=0, atol=2e-15)


def test_luma_of_a_decoded_color_is_kept_inside_the_cube() -> None:
    yuv = reference.rgb_to_yuv(np.random.default_rng(0).random((100, 3)))
    np.testing.assert_allclose(reference.rgb_to_yuv(reference.yuv_to_rgb(yuv))[:, 0], yuv[:, 0], rtol=0, atol=2e-15)


def test_to_uint8_rounds_half_up_and_not_to_even() -> None:
    levels = np.arange(255)
    ties = (levels + 0.5) / 255
    exact = 255.0 * ties == levels + 0.5
    assert exact.sum() > 200
    np.testing.assert_array_equal(reference.to_uint8(ties[exact]), levels[exact] + 1)
    assert (np.rint(255.0 * ties[exact]) != levels[exact] + 1).sum() > 100, "half-to-even must differ somewhere"


def test_to_uint8_clips_and_blackens_nan() -> None:
    assert reference.to_uint8([-1e300, -0.1, 1.0001, np.inf, -np.inf, np.nan]).tolist() == [0, 0, 255, 255, 0, 0]


def test_uint8_and_unit_floats_mean_the_same_color() -> None:
    np.testing.assert_array_equal(reference.rgb_to_yuv(CUBE), reference.rgb_to_yuv(CUBE / 255.0))


# --- cells ------------------------------------------------------------------------------------------------------------


def rational_cell(rgb: Any, cells: int) -> tuple[int, int]:
    """The cell by its definition, in exact rational arithmetic: half-open, the top edge in the last cell."""
    r, g, b = (Fraction(int(c), 255) for c in rgb)
    y = Fraction(299, 1000) * r + Fraction(587, 1000) * g + Fraction(114, 1000) * b
    u, v = Fraction(436, 886) * (b - y), Fraction(615, 701) * (r - y)
    share_u, share_v = (u + Fraction(436, 1000)) / Fraction(872, 1000), (v + Fraction(615, 1000)) / Fraction(1230, 1000)
    return min(cells - 1, int(share_u * cells)), min(cells - 1, int(share_v * cells))


@pytest.mark.parametrize("cells", [1, 2, 3, 10, 16, 17, 64, 255])
def test_integer_rule_is_rational_arithmetic(cells: int) -> None:
    u, v = cells_module.cell_of_uint8(CUBE, cells)
    assert list(zip(u.tolist(), v.tolist(), strict=True)) == [rational_cell(rgb, cells) for rgb in CUBE]


@pytest.mark.parametrize("cells", [2, 5, 6, 10, 30, 886])
def test_integer_rule_on_the_edges(cells: int) -> None:
    """The colors closest to an edge, many exactly on it, where a float would decide by its rounding."""
    rgb = np.random.default_rng(1).integers(0, 256, (200_000, 3)).astype(np.uint8)
    rgb[:256] = np.arange(256)[:, None]
    a = cells_module.chroma_numerators(rgb)
    top = np.array([U_NUMERATOR_MAX, V_NUMERATOR_MAX])
    rest = (a + top) * cells % (2 * top)
    distance = np.minimum(rest, 2 * top - rest).min(axis=-1)
    closest = rgb[np.argsort(distance, kind="stable")[:300]]
    u, v = cells_module.cell_of_uint8(closest, cells)
    assert list(zip(u.tolist(), v.tolist(), strict=True)) == [rational_cell(color, cells) for color in closest]


@pytest.mark.parametrize("cells", ODD_CELLS)
def test_gray_lies_in_the_middle_of_a_cell_with_odd_cells(cells: int) -> None:
    gray = np.arange(256).repeat(3).reshape(256, 3)
    for image in (gray.astype(np.uint8), gray / 255.0, (gray / 255).astype(np.float32)):
        assert {int(c) for axis in reference.cell_of(image, cells) for c in axis} == {cells // 2}


@pytest.mark.parametrize("cells", EVEN_CELLS)
def test_gray_has_one_cell_with_even_cells_too_but_only_in_integers(cells: int) -> None:
    """The corner of four cells: floats scatter the 256 grays by rounding, as in the ColorUNet authors' code."""
    gray = np.arange(256).repeat(3).reshape(256, 3)
    assert {int(c) for axis in reference.cell_of(gray.astype(np.uint8), cells) for c in axis} == {cells // 2}
    u, v = reference.cell_of((gray / 255).astype(np.float32).astype(np.float64), cells)
    assert len(set(zip(u.tolist(), v.tolist(), strict=True))) > 1


@pytest.mark.parametrize("cells", ODD_CELLS + EVEN_CELLS)
def test_extreme_colors_lie_in_the_outermost_cells(cells: int) -> None:
    """The lowest edge is cell 0, not -1 as in the ColorUNet authors' code; the top edge is in the last cell."""
    red, blue = np.array([255, 0, 0], np.uint8), np.array([0, 0, 255], np.uint8)
    for dtype in (np.uint8, np.float64):
        scale = 1 if dtype is np.uint8 else 255
        assert reference.cell_of((255 - blue).astype(dtype) / scale if scale > 1 else 255 - blue, cells)[0] == 0
        assert reference.cell_of((255 - red).astype(dtype) / scale if scale > 1 else 255 - red, cells)[1] == 0
        assert reference.cell_of(blue.astype(dtype) / scale if scale > 1 else blue, cells)[0] == cells - 1
        assert reference.cell_of(red.astype(dtype) / scale if scale > 1 else red, cells)[1] == cells - 1


@pytest.mark.parametrize("cells", [1, 2, 3, 17, 100])
def test_midpoints_lie_in_their_own_cell(cells: int) -> None:
    u, v = cells_module.cell_of_chroma(reference.cell_midpoints(cells), cells)
    expected = np.indices((cells, cells))
    np.testing.assert_array_equal((u, v), expected)


def test_chroma_outside_is_clamped_and_nan_is_neutral() -> None:
    u, v = cells_module.cell_of_chroma([[9, -9], [np.inf, -np.inf], [np.nan, np.nan], [np.nan, 9]], 17)
    assert u.tolist() == [16, 16, 8, 8]
    assert v.tolist() == [0, 0, 8, 16]


@pytest.mark.parametrize("cells", [3, 17, 33])
def test_histogram_is_that_of_numpy_in_cell_interiors(cells: int) -> None:
    rgb = make.make_rgb(np.random.default_rng(2), "uniform", (20_000,))
    yuv = reference.rgb_to_yuv(rgb)[:, 1:]
    share = (yuv / (U_MAX, V_MAX) + 1) / 2 * cells
    inside = (np.abs(share - np.rint(share)) > 1e-9).all(axis=-1)
    assert inside.sum() > 19_000
    theirs, _, _ = np.histogram2d(*yuv[inside].T, bins=cells, range=[[-U_MAX, U_MAX], [-V_MAX, V_MAX]])
    np.testing.assert_array_equal(reference.histogram(rgb[inside], cells), theirs)


def test_moments_add_up_and_are_those_of_the_pixels() -> None:
    counts, sums, squares = moments(17)
    whole = np.concatenate([image.reshape(-1, 3) for image in images()])
    np.testing.assert_array_equal(counts, reference.histogram(whole, 17))
    scale = np.array([U_MAX / U_NUMERATOR_MAX, V_MAX / V_NUMERATOR_MAX])
    chroma = reference.rgb_to_yuv(whole)[:, 1:]
    np.testing.assert_allclose(sums.sum(axis=(0, 1)) * scale, chroma.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(squares * scale**2, (chroma**2).sum(axis=0), rtol=1e-9)


def test_moments_and_histogram_follow_the_channel_axis() -> None:
    rgb = images()[0]
    for axis in (0, 1, -2):
        moved = np.moveaxis(rgb, -1, axis)
        np.testing.assert_array_equal(reference.histogram(moved, 9, channel_axis=axis), reference.histogram(rgb, 9))
        for ours, theirs in zip(
            reference.chroma_moments(moved, 9, channel_axis=axis), reference.chroma_moments(rgb, 9), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


# --- fits -------------------------------------------------------------------------------------------------------------


def test_frequent_takes_the_most_frequent_cells_and_breaks_ties_to_the_lower_index() -> None:
    counts = np.array([[5, 7, 5], [7, 0, 5], [1, 7, 5]])
    assert frequent_cells(counts, 8).tolist() == [1, 3, 7, 0, 2, 5, 8, 6]


def test_nearest_cell_table_is_brute_force_in_rational_arithmetic() -> None:
    for cells, selected in ((5, [12, 0, 24, 7]), (4, [5, 6, 9, 10]), (3, [4]), (6, [0, 35, 14, 21, 5])):

        def midpoint(index: int, cells: int = cells) -> tuple[Fraction, Fraction]:
            i, j = divmod(index, cells)
            return Fraction(2 * i + 1, cells) * 436, Fraction(2 * j + 1, cells) * 615

        table = nearest_cell_table(selected, cells)
        for index in range(cells * cells):
            u, v = midpoint(index)
            distance = [(u - su) ** 2 + (v - sv) ** 2 for su, sv in map(midpoint, selected)]
            assert table.ravel()[index] == distance.index(min(distance))


def test_frequent_fit_labels_every_selected_cell_with_its_own_bin() -> None:
    counts, sums, _ = moments(17)
    occupied = int((counts > 0).sum())
    for n in range(1, occupied + 1):
        bins = reference.fit_bins(counts, sums, n)
        assert bins.n == n
        assert bins.table.ravel()[frequent_cells(counts, n)].tolist() == list(range(n))
        np.testing.assert_allclose(bins.prior.sum(), 1, rtol=1e-12)
        assert (bins.prior > 0).all()


@pytest.mark.parametrize("method", ["frequent", "kmeans"])
@pytest.mark.parametrize("centers", ["mean", "midpoint"])
@pytest.mark.parametrize("n", [1, 2, 7, 32])
def test_fit_prior_and_colors_are_those_of_the_pixels(method: str, centers: str, n: int) -> None:
    cells = 33
    counts, sums, squares = moments(cells)
    bins = reference.fit_bins(counts, sums, n, method=method, centers=centers)
    rgb = np.concatenate([image.reshape(-1, 3) for image in images()])
    labels = reference.encode(rgb, bins)[1]
    chroma = reference.rgb_to_yuv(rgb)[:, 1:]
    np.testing.assert_allclose(bins.prior, np.bincount(labels, minlength=n) / len(labels), rtol=1e-12)
    for b in range(n):
        mean = chroma[labels == b].mean(axis=0)
        if centers == "mean":
            np.testing.assert_allclose(bins.colors[b], mean, rtol=0, atol=1e-7)
        else:
            assert np.isclose(reference.cell_midpoints(cells), bins.colors[b], atol=1e-7).all(axis=-1).any()
    brute = np.sqrt(((chroma - bins.colors[labels]) ** 2).sum(axis=-1).mean())
    np.testing.assert_allclose(reference.quantization_error(bins, counts, sums, squares), brute, rtol=1e-7)


def test_a_single_pixel_color_has_no_quantization_error() -> None:
    counts, sums, squares = reference.chroma_moments(np.array([[[200, 30, 90]]], np.uint8), 17)
    assert reference.quantization_error(reference.fit_bins(counts, sums, 1), counts, sums, squares) < 1e-7


def test_midpoint_colors_label_themselves() -> None:
    counts, sums, _ = moments(17)
    bins = reference.fit_bins(counts, sums, 32, centers="midpoint")
    u, v = cells_module.cell_of_chroma(bins.colors, 17)
    assert bins.table[u, v].tolist() == list(range(32))


def test_bin_zero_has_its_own_color() -> None:
    """In the ColorUNet authors' code a loop starts at 1, so that bin 0 decodes to gray."""
    image = np.full((8, 8, 3), (250, 20, 20), np.uint8)
    image[0, 0] = (20, 20, 250)
    counts, sums, _ = reference.chroma_moments(image, 17)
    bins = reference.fit_bins(counts, sums, 2)
    np.testing.assert_allclose(bins.colors[0], reference.rgb_to_yuv(image[1, 1])[1:], atol=1e-7)


def test_kmeans_is_a_fixed_point_of_lloyd_and_deterministic() -> None:
    cells, n = 33, 12
    counts, sums, _ = moments(cells)
    bins = reference.fit_bins(counts, sums, n, method="kmeans")
    again = reference.fit_bins(counts, sums, n, method="kmeans")
    np.testing.assert_array_equal(bins.table, again.table)
    np.testing.assert_array_equal(bins.colors, again.colors)
    assert (np.diff(bins.prior) <= 0).all(), "most frequent first, as in `frequent`"
    table = nearest_center_table(bins.colors, cells)
    assert (table != bins.table).sum() == 0
    np.testing.assert_allclose(label_means(table, counts, sums, bins.colors), bins.colors, atol=1e-7)


def test_kmeans_is_as_good_as_that_of_scipy() -> None:
    """Within 10 % of SciPy's best of five starts on the same pixels: both are local optima."""
    cells, n = 65, 16
    counts, sums, squares = moments(cells)
    ours = reference.quantization_error(reference.fit_bins(counts, sums, n, method="kmeans"), counts, sums, squares)
    chroma = np.concatenate([reference.rgb_to_yuv(image)[..., 1:].reshape(-1, 2) for image in images()])
    starts = [scipy.cluster.vq.kmeans2(chroma, n, iter=30, minit="++", seed=seed) for seed in range(5)]
    theirs = min(np.sqrt(((chroma - centers[labels]) ** 2).sum(axis=-1).mean()) for centers, labels in starts)
    assert ours < 1.1 * theirs
    frequent = reference.quantization_error(reference.fit_bins(counts, sums, n), counts, sums, squares)
    assert ours < frequent


@pytest.mark.parametrize("method", ["frequent", "kmeans"])
def test_as_many_bins_as_occupied_cells_uses_each(method: str) -> None:
    counts, sums, _ = moments(9)
    occupied = int((counts > 0).sum())
    bins = reference.fit_bins(counts, sums, occupied, method=method)
    assert sorted(bins.table[counts > 0].tolist()) == list(range(occupied))
    with pytest.raises(ValueError, match=f"n: {occupied + 1} bins need {occupied + 1} cells"):
        reference.fit_bins(counts, sums, occupied + 1, method=method)


def test_more_bins_never_quantize_worse_with_kmeans_than_one() -> None:
    counts, sums, squares = moments(33)
    errors = [
        reference.quantization_error(reference.fit_bins(counts, sums, n, method="kmeans"), counts, sums, squares)
        for n in (1, 4, 16, 64)
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(("argument", "options"), [("n", {"n": 0}), ("n", {"n": 1025}), ("method", {"method": "x"}),
                                                   ("centers", {"centers": "x"})])  # fmt: skip
def test_fit_refuses(argument: str, options: dict[str, Any]) -> None:
    counts, sums, _ = moments(33)
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        reference.fit_bins(counts, sums, **{"n": 4, **options})


# --- class weights and encode -----------------------------------------------------------------------------------------


@given(make.generators, make.bin_counts, st.floats(0.01, 1.0))
def test_weights_average_to_one_and_fall_with_the_prior(rng: np.random.Generator, n: int, lam: float) -> None:
    prior = rng.dirichlet(np.full(n, 0.3))
    w = reference.class_weights(prior, lam)
    np.testing.assert_allclose((prior * w).sum(), 1, rtol=1e-12)
    order = np.argsort(prior)
    assert (np.diff(w[order]) <= 1e-12 * w.max()).all()


def test_weights_are_equation_4_of_zhang() -> None:
    prior = np.array([0.5, 0.3, 0.2])
    expected = 1 / (0.8 * prior + 0.2 / 3)
    np.testing.assert_allclose(reference.class_weights(prior, 0.2), expected / (prior * expected).sum(), rtol=1e-14)


def test_weights_with_an_empty_bin() -> None:
    assert reference.class_weights([0.0, 0.25, 0.75], 0.0)[0] == reference.class_weights([0.0, 0.25, 0.75], 0.0)[1]
    assert reference.class_weights([0.0, 1.0], 0.0)[1] == 1.0
    assert np.isfinite(reference.class_weights([0.0, 1.0], 1e-6)).all()


@given(make.bins(), make.generators, make.lams)
def test_encode_is_its_parts(bins: reference.ColorBins, rng: np.random.Generator, lam: float) -> None:
    rgb = make.make_rgb(rng, "uniform", (7, 5))
    luma, labels, weights = reference.encode(rgb, bins, lam=lam)
    for i, j in itertools.product(range(7), range(5)):
        u, v = rational_cell(rgb[i, j], bins.cells)
        assert labels[i, j] == bins.table[u, v]
        assert weights[i, j] == bins.weights(lam)[labels[i, j]]
    np.testing.assert_allclose(luma, skimage.color.rgb2yuv(rgb)[..., 0], rtol=0, atol=1e-12)
    moved = reference.encode(rgb.transpose(2, 0, 1), bins, lam=lam, channel_axis=0)
    for ours, theirs in zip(moved, (luma, labels, weights), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- softmax, annealed mean, confidence -------------------------------------------------------------------------------


@given(make.generators, st.sampled_from(make.FINITE_LOGITS), make.temperatures.filter(bool))
def test_softmax_is_that_of_scipy(rng: np.random.Generator, kind: str, temperature: float) -> None:
    x = make.make_logits(rng, kind, 9, (4, 3))
    ours = reference.softmax(x, temperature=temperature)
    np.testing.assert_allclose(ours, scipy.special.softmax(x / temperature, axis=0), rtol=1e-9, atol=1e-300)


def test_softmax_ignores_masked_bins_and_marks_invalid_pixels() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[0, -inf, 1.0], [-inf, -inf, -inf], [0, nan, 0], [0, inf, 0], [inf, inf, 0], [nan, nan, nan]]).T
    for temperature in (0.0, 0.38, 1.0):
        f = reference.softmax(x, temperature=temperature, axis=0)
        assert f[1, 0] == 0
        assert np.isnan(f[:, 1:]).all()
    np.testing.assert_allclose(reference.softmax(x, axis=0)[:, 0], [1 / (1 + np.e), 0, np.e / (1 + np.e)])


@given(make.bins(), make.generators, make.temperatures.filter(bool))
def test_annealed_mean_is_equation_5_of_zhang(
    bins: reference.ColorBins, rng: np.random.Generator, temperature: float
) -> None:
    """On probabilities: ``exp(log z / T) / sum exp(log z / T)``, which is ``z^(1/T)`` normalised."""
    z = rng.dirichlet(np.ones(bins.n), 6) + 1e-12
    powers = np.exp(np.log(z) / temperature - (np.log(z) / temperature).max(axis=1, keepdims=True))
    expected = powers @ bins.colors.astype(np.float64) / powers.sum(axis=1, keepdims=True)
    ours = reference.annealed_mean(np.log(z), bins, temperature=temperature, axis=-1)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_annealed_mean_has_the_limits_of_the_paper() -> None:
    """T = 1 leaves the distribution, T -> 0 is the mode, T -> infinity the plain mean (Zhang et al., section 2.3)."""
    bins = make.make_bins(np.random.default_rng(3), 7, 5)
    x = np.random.default_rng(4).standard_normal((7, 50))
    colors = bins.colors.astype(np.float64)
    mode = reference.annealed_mean(x, bins, temperature=0.0, axis=0)
    np.testing.assert_array_equal(mode, colors[x.argmax(axis=0)].T)
    np.testing.assert_allclose(reference.annealed_mean(x, bins, temperature=1e-5, axis=0), mode, atol=1e-12)
    far = reference.annealed_mean(x, bins, temperature=1e9, axis=0)
    np.testing.assert_allclose(far, np.broadcast_to(colors.mean(axis=0)[:, None], far.shape), atol=1e-8)
    one = reference.annealed_mean(x, bins, temperature=1.0, axis=0)
    np.testing.assert_allclose(one, colors.T @ scipy.special.softmax(x, axis=0), atol=1e-14)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("temperature", [0.2, 0.38, 1.0, 4.0])
def test_gradient_of_the_annealed_mean_is_that_of_torch(temperature: float, axis: int) -> None:
    """torch differentiates equation 5 by itself, in float64: the closed form is that to the last digits."""
    rng = np.random.default_rng(5)
    bins = make.make_bins(rng, 7, 9)
    x = np.moveaxis(rng.normal(0, 2, (7, 4, 5)), 0, axis)
    g = np.moveaxis(rng.normal(0, 1, (2, 4, 5)), 0, axis)
    logits = torch.tensor(x, requires_grad=True)
    f = torch.softmax(logits / temperature, axis).movedim(axis, -1)
    chroma = (f @ torch.tensor(bins.colors, dtype=torch.float64)).movedim(-1, axis)
    chroma.backward(torch.tensor(g))
    ours = reference.annealed_mean_gradient(g, x, bins, temperature=temperature, axis=axis)
    np.testing.assert_allclose(ours, logits.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("temperature", [5e-324, 1e-308, 1e-300, 1e-40, 1e-7])
def test_annealed_mean_of_a_tiny_temperature_is_the_mode(temperature: float) -> None:
    """Differences over T overflow to infinity, which is a probability of zero, and 0 / T stays 0."""
    bins = make.make_bins(np.random.default_rng(3), 7, 5)
    x = np.random.default_rng(4).standard_normal((7, 50))
    with np.errstate(over="ignore"):
        tiny = reference.annealed_mean(x, bins, temperature=temperature, axis=0)
    np.testing.assert_array_equal(tiny, reference.annealed_mean(x, bins, temperature=0.0, axis=0))


def test_ties_of_the_mode_go_to_the_lowest_bin() -> None:
    x = np.zeros((5, 5))
    x[2:, 1] = x[3:, 2] = x[4:, 3] = 7.0
    x[1, 4] = x[4, 4] = -1.0
    f = reference.softmax(x, temperature=0.0, axis=0)
    assert f.argmax(axis=0).tolist() == [0, 2, 3, 4, 0]
    assert (f.sum(axis=0) == 1).all()


@given(make.generators, make.bin_counts, st.sampled_from(make.FINITE_LOGITS))
def test_confidence_is_the_sorted_softmax(rng: np.random.Generator, n: int, kind: str) -> None:
    x = make.make_logits(rng, kind, n, (5, 4))
    top, ratio = reference.confidence(x)
    ordered = np.sort(scipy.special.log_softmax(x, axis=0), axis=0)
    np.testing.assert_allclose(top, np.exp(ordered[-1]), rtol=1e-9)
    with np.errstate(over="ignore"):
        expected = np.exp(ordered[-1] - ordered[-2]) if n > 1 else np.full((5, 4), np.inf)
    np.testing.assert_allclose(ratio, expected, rtol=1e-7)
    assert (top >= 1 / n - 1e-12).all()
    assert (ratio >= 1).all()


def test_confidence_of_masked_and_invalid_pixels() -> None:
    inf, nan = np.inf, np.nan
    top, ratio = reference.confidence(np.array([[0, -inf], [-inf, -inf], [0, nan], [0, inf]]).T, axis=0)
    np.testing.assert_array_equal(top, [1, nan, nan, nan])
    np.testing.assert_array_equal(ratio, [inf, nan, nan, nan])


# --- decode, merge ----------------------------------------------------------------------------------------------------


def test_decode_is_its_parts_and_blackens_invalid_pixels() -> None:
    rng = np.random.default_rng(5)
    bins = make.make_bins(rng, 9, 5)
    x, luma = make.make_logits(rng, "mixed", 9, (8, 6)), rng.random((8, 6))
    luma[0, 0] = np.nan
    rgb, top, ratio = reference.decode(x, luma, bins, temperature=0.5, confidence=True)
    np.testing.assert_array_equal(rgb, reference.decode(x, luma, bins, temperature=0.5))
    chroma = reference.annealed_mean(x, bins, temperature=0.5)
    blue, red = luma + chroma[0] / U_SCALE, luma + chroma[1] / V_SCALE
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    with np.errstate(invalid="ignore"):
        expected = np.floor(255 * np.clip(np.stack([red, green, blue], -1), 0, 1) + 0.5)
    np.testing.assert_array_equal(rgb, np.nan_to_num(expected, nan=0.0))
    for ours, theirs in zip((top, ratio), reference.confidence(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    planar = reference.decode(x.transpose(1, 2, 0), luma, bins, temperature=0.5, axis=-1, channel_axis=0)
    np.testing.assert_array_equal(planar.transpose(1, 2, 0), rgb)


def test_decode_of_a_certain_network_gives_back_the_photo_quantized() -> None:
    rgb = images()[0]
    counts, sums, _ = reference.chroma_moments(rgb, 33)
    bins = reference.fit_bins(counts, sums, 64, method="kmeans")
    luma, labels, _ = reference.encode(rgb, bins)
    certain = np.where(np.arange(bins.n)[:, None, None] == labels, 0.0, -np.inf)
    decoded = reference.decode(certain, luma, bins)
    difference = reference.rgb_to_yuv(decoded)[..., 0] - luma
    assert np.abs(difference).max() < 0.05
    assert np.abs(decoded.astype(int) - rgb).mean() < 6


@pytest.mark.parametrize("size", [(7, 5), (16, 16), (1, 1), (23, 40), (3, 100)])
@pytest.mark.parametrize("have", [(7, 5), (1, 1), (4, 9), (2, 3)])
def test_upsampling_is_that_of_torch(have: tuple[int, int], size: tuple[int, int]) -> None:
    chroma = np.random.default_rng(6).uniform(-0.6, 0.6, (2, *have))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(chroma)[None], size=size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(reference.upsample(chroma, *size), theirs[0].numpy(), rtol=0, atol=1e-13)


def test_upsampling_is_that_of_opencv() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is in the bench extra")
    chroma = np.random.default_rng(6).uniform(-0.6, 0.6, (2, 9, 12)).astype(np.float32)
    theirs = np.stack([cv2.resize(plane, (50, 31), interpolation=cv2.INTER_LINEAR) for plane in chroma])
    np.testing.assert_allclose(reference.upsample(chroma, 31, 50), theirs, rtol=0, atol=1e-6)


def test_merge_keeps_the_luma_inside_the_cube_and_gray_gray() -> None:
    rng = np.random.default_rng(7)
    chroma, luma = rng.uniform(-0.05, 0.05, (2, 4, 4)), rng.uniform(0.3, 0.7, (20, 30))
    rgb = reference.merge(chroma, luma)
    assert np.abs(reference.rgb_to_yuv(rgb)[..., 0] - luma).max() <= 0.5 / 255 + 1e-12
    gray = rng.integers(0, 256, (20, 30)).astype(np.uint8)
    np.testing.assert_array_equal(reference.merge(np.zeros((2, 4, 4)), gray), np.repeat(gray[..., None], 3, axis=-1))


# --- loss -------------------------------------------------------------------------------------------------------------


@given(make.generators, st.sampled_from(make.FINITE_LOGITS), st.booleans())
def test_cross_entropy_is_that_of_torch(rng: np.random.Generator, kind: str, per_pixel: bool) -> None:
    n, shape = 6, (2, 3, 4)
    x = make.make_logits(rng, kind, n, shape).swapaxes(0, 1)
    labels, w = rng.integers(0, n, shape), rng.exponential(size=n)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(labels), torch.tensor(w))
    ours = reference.weighted_cross_entropy(x, labels, w[labels] if per_pixel else w)
    np.testing.assert_allclose(ours, float(theirs), rtol=1e-9, atol=1e-12)


def test_cross_entropy_ignores_masked_pixels() -> None:
    rng = np.random.default_rng(8)
    x, labels, w = rng.standard_normal((1, 4, 3, 5)), rng.integers(0, 4, (1, 3, 5)), rng.exponential(size=4)
    mask = np.zeros((1, 3, 5))
    mask[:, :2] = 1
    whole = reference.weighted_cross_entropy(x[:, :, :2], labels[:, :2], w)
    assert reference.weighted_cross_entropy(x, labels, w, mask) == pytest.approx(whole, rel=1e-12)
    assert reference.weighted_cross_entropy(x, labels, w, np.zeros_like(mask)) == 0.0
    assert not reference.weighted_cross_entropy_gradient(x, labels, w, np.zeros_like(mask)).any()
    assert not reference.weighted_cross_entropy_gradient(x, labels, w, mask)[:, :, 2:].any()


def test_gradient_is_that_of_finite_differences_and_of_torch() -> None:
    rng = np.random.default_rng(9)
    x, labels, w = rng.standard_normal((2, 5, 2, 3)), rng.integers(0, 5, (2, 2, 3)), rng.exponential(size=5)
    mask = rng.random((2, 2, 3)) < 0.7
    gradient = reference.weighted_cross_entropy_gradient(x, labels, w, mask)
    numeric = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        loss_up, loss_down = (reference.weighted_cross_entropy(z, labels, w, mask) for z in (up, down))
        numeric[index] = (loss_up - loss_down) / 2e-5
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-9)
    leaf = torch.tensor(x, requires_grad=True)
    pixels = torch.nn.functional.cross_entropy(leaf, torch.tensor(labels), torch.tensor(w), reduction="none")
    kept = torch.tensor(mask, dtype=torch.float64)
    ((pixels * kept).sum() / (torch.tensor(w)[torch.tensor(labels)] * kept).sum()).backward()
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=0, atol=1e-12)


def test_gradient_sums_to_zero_over_the_bins() -> None:
    rng = np.random.default_rng(10)
    x, labels = make.make_logits(rng, "huge", 7, (2, 4)).swapaxes(0, 1), rng.integers(0, 7, (2, 4))
    gradient = reference.weighted_cross_entropy_gradient(x, labels, np.ones(7))
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-15)


# --- temporal smoothing -----------------------------------------------------------------------------------------------


def frames(seed: int, count: int, kind: str = "normal3") -> list[Any]:
    rng = np.random.default_rng(seed)
    return [make.make_logits(rng, kind, 5, (2, 3)) for _ in range(count)]


def test_window_form_is_the_sum_of_the_paper() -> None:
    """``p_t + e^-0.2 p_(t-1) + ... + e^-4 p_(t-20)``: 21 frames (ColorUNet, section 3.5)."""
    past = [reference.softmax(x) for x in frames(0, 30)]
    expected = sum(np.exp(-0.2 * i) * past[29 - i] for i in range(21))
    np.testing.assert_allclose(reference.smooth_window(past), expected, rtol=1e-14)
    np.testing.assert_allclose(reference.smooth_window(past[:3]), sum(np.exp(-0.2 * i) * past[2 - i] for i in range(3)))
    np.testing.assert_array_equal(reference.smooth_window(past, 0.2, 0), past[-1])


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.2, 1.0, 5.0, 800.0])
@pytest.mark.parametrize("window", [0, 1, 3, 20])
def test_recursion_is_the_window_form_over_long_runs(alpha: float, window: int) -> None:
    """Each step rounds a few times; the recursion keeps such an error with factor e^-alpha: a few eps per step."""
    bins = make.make_bins(np.random.default_rng(1), 5, 3)
    smoother = reference.TemporalSmoother(bins, alpha=alpha, window=window)
    past, luma, count = [], np.full((2, 3), 0.5), 120
    for x in frames(2, count):
        rgb = smoother.step(x, luma)
        past.append(reference.softmax(x))
        expected = reference.smooth_window(past, alpha, window)
        np.testing.assert_allclose(smoother.probabilities, expected / expected.sum(axis=0), rtol=0, atol=4e-16 * count)
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(rgb, reference.decode(np.log(expected), luma, bins))


def test_smoother_starts_anew_after_reset_and_needs_a_frame() -> None:
    bins = make.make_bins(np.random.default_rng(1), 5, 3)
    smoother = reference.TemporalSmoother(bins)
    with pytest.raises(RuntimeError, match=r"probabilities: expected at least one step\(\) before"):
        smoother.probabilities  # noqa: B018
    first, second = frames(3, 2)
    luma = np.full((2, 3), 0.5)
    smoother.step(first, luma)
    smoother.reset()
    np.testing.assert_array_equal(smoother.step(second, luma), reference.decode(second, luma, bins, temperature=0.38))
    np.testing.assert_allclose(smoother.probabilities, reference.softmax(second), rtol=0, atol=1e-15)


def test_an_invalid_pixel_is_black_once_and_adds_nothing_to_later_frames() -> None:
    bins = make.make_bins(np.random.default_rng(1), 5, 3)
    smoother = reference.TemporalSmoother(bins, window=2)
    first, second, third = frames(4, 3)
    second[1, 0, 0] = np.nan
    luma = np.full((2, 3), 0.5)
    smoother.step(first, luma)
    assert smoother.step(second, luma)[0, 0].tolist() == [0, 0, 0]
    kept = reference.softmax(first)[:, 0, 0]
    np.testing.assert_allclose(smoother.probabilities[:, 0, 0], kept, rtol=1e-12)
    assert smoother.step(third, luma)[0, 0].any()
    expected = reference.softmax(third)[:, 0, 0] + np.exp(-0.4) * kept
    np.testing.assert_allclose(smoother.probabilities[:, 0, 0], expected / expected.sum(), rtol=1e-12)


def test_a_pixel_never_seen_has_no_probabilities() -> None:
    bins = make.make_bins(np.random.default_rng(1), 5, 3)
    smoother = reference.TemporalSmoother(bins)
    x = np.zeros((5, 1, 2))
    x[0, 0, 0] = np.nan
    smoother.step(x, np.zeros((1, 2)))
    assert np.isnan(smoother.probabilities[:, 0, 0]).all()
    np.testing.assert_allclose(smoother.probabilities[:, 0, 1], 0.2)


# --- facts of the papers ----------------------------------------------------------------------------------------------


def test_constants_are_those_of_the_papers() -> None:
    assert constants.DEFAULT_TEMPERATURE == 0.38
    assert constants.DEFAULT_WINDOW == 20
    assert constants.DEFAULT_ALPHA == 0.2
    assert constants.DEFAULT_BINS == 32
    assert constants.DEFAULT_CELLS % 2 == 1
    assert (U_MAX, V_MAX) == (0.436, 0.615)


def test_shapes_without_pixels_give_results_without_pixels() -> None:
    bins = make.make_bins(np.random.default_rng(1), 5, 3)
    assert [part.shape for part in reference.encode(np.zeros((0, 4, 3), np.uint8), bins)] == [(0, 4)] * 3
    assert reference.annealed_mean(np.zeros((5, 0, 4)), bins).shape == (2, 0, 4)
    assert [part.shape for part in reference.confidence(np.zeros((5, 0, 4)))] == [(0, 4)] * 2
    assert reference.decode(np.zeros((5, 4, 0)), np.zeros((4, 0)), bins).shape == (4, 0, 3)
    assert reference.histogram(np.zeros((0, 3), np.uint8), 5).sum() == 0
    assert reference.merge(np.zeros((2, 3, 3)), np.zeros((0, 7))).shape == (0, 7, 3)
