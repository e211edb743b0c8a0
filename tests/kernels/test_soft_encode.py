"""Soft targets: the k nearest bins and their shares, in either space; and lists of candidates that miss none."""

from __future__ import annotations

from typing import Any

import anywhere
import compare
import compare_lab
import numpy as np
import pytest
import strategies as make
from fastcolor.kernels.numba_cpu.near import CELLS, COUNT_BITS, REACH, ROW, near
from fastcolor.reference.constants import CHROMA_MAX
from hypothesis import given
from hypothesis import strategies as st

import fastcolor
from fastcolor import reference

F = np.float32


def set_of(centers: Any, space: str = "lab") -> fastcolor.ColorBins:
    """Bins of these colors; which cell is whose does not matter."""
    centers = np.asarray(centers, F)
    n = len(centers)
    prior = np.random.default_rng(n).random(n) + 0.01
    return fastcolor.ColorBins(np.zeros((1, 1), np.uint8), centers, prior / prior.sum(), space=space)


def random_set(rng: np.random.Generator, n: int, space: str) -> fastcolor.ColorBins:
    return set_of(rng.uniform(-0.95, 0.95, (n, 2)) * CHROMA_MAX[space], space)


def sets() -> dict[str, fastcolor.ColorBins]:
    rng = np.random.default_rng(5)
    close = rng.uniform(-1, 1, (40, 2)) * [0.01, 60]
    twice = np.repeat(rng.uniform(-90, 90, (30, 2)), 3, axis=0)
    return {
        "the 313": fastcolor.ColorBins.zhang(),
        "1,024 at random": random_set(rng, 1024, "lab"),
        "32 of yuv": random_set(rng, 32, "yuv"),
        "1,024 of yuv": random_set(rng, 1024, "yuv"),
        "a line": set_of(close),
        "each three times": set_of(twice),
        "beyond the plane": set_of(rng.choice([-1, 1], (50, 2)) * rng.uniform(116, 128, (50, 2))),
        "one": set_of([[3, 4]]),
    }


SETS = sets()


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("k", [1, 5, 10])
def test_lists_are_complete(name: str, k: int) -> None:
    """At corners, edges and inside of a cell, the k nearest by brute force, ties to the lowest, are on its list.

    Of the 313 that is every cell, of the other sets five hundred.
    """
    bins = SETS[name]
    k = min(k, bins.n)
    lists = near(bins, k, bins.space)
    number, count = lists.words >> COUNT_BITS, lists.words & (1 << COUNT_BITS) - 1
    assert count.min() >= k
    labels = lists.labels.reshape(-1, lists.lists, ROW).transpose(1, 0, 2).reshape(lists.lists, -1)
    assert (np.diff(labels, axis=1)[labels[:, 1:] >= 0] > 0).all(), "ties go to the lowest only if labels ascend"
    on_list = np.zeros((lists.lists, bins.n), bool)
    for column in labels.T:
        on_list[np.flatnonzero(column >= 0), column[column >= 0]] = True
    assert np.array_equal(on_list.sum(axis=1)[number], count)

    rng = np.random.default_rng(1)
    tops = np.array(CHROMA_MAX[bins.space]) * REACH
    cell = np.stack(np.divmod(np.arange(CELLS**2), CELLS), axis=-1)
    chosen = np.arange(CELLS**2) if name == "the 313" else rng.choice(CELLS**2, 500, replace=False)
    colors = bins.colors.astype(np.float64)
    for inside in ([0, 0], [1, 1], [0, 1], [1, 0], [0.5, 0.5], [0, 0.3], *rng.random((3, 2))):
        p = ((cell[chosen] + inside) / CELLS * 2 - 1) * tops
        square = ((p[:, None] - colors) ** 2).sum(axis=-1)
        nearest = np.argsort(square, axis=-1, kind="stable")[:, :k]
        assert np.take_along_axis(on_list[number[chosen]], nearest, axis=1).all()


def test_lists_are_short() -> None:
    """Which is what they are for: six candidates, where there are five to be found among 313."""
    words = near(SETS["the 313"], 5, "lab").words
    assert (words & (1 << COUNT_BITS) - 1).mean() < 6.5


# --- what they are for ------------------------------------------------------------------------------------------------


def encode_soft(rgb: Any, bins: Any, backend: str, **options: Any) -> Any:
    return anywhere.encode_soft(rgb, bins, backend=backend, **options)


def arithmetic_of(backend: str) -> dict[str, Any]:
    """What a comparator asks of a backend."""
    return {"double": backend == "numba", "arithmetic": compare.arithmetic_of(backend)}


@pytest.mark.ops("encode_soft")
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_nearest_and_shares(backend: str, name: str, dtype: str) -> None:
    bins, rng = SETS[name], np.random.default_rng(2)
    unit = CHROMA_MAX[bins.space][0] / 23
    for kind in ("uniform", "near_gray", "extremes"):
        rgb = make.make_rgb(rng, kind, (33, 17))
        image = rgb if dtype == "uint8" else (rgb / 255).astype(dtype)
        for k, width, weighting in ((5, 1, "nearest"), (10, 3, "mean"), (1, 1, "mean"), (32, 1, "mean")):
            options = {
                "neighbors": min(k, bins.n),
                "sigma": width * unit,
                "weighting": weighting,
                "lam": 0.3,
                "axis": 0,
            }
            result = encode_soft(image, bins, backend, **options, label_dtype="int16")
            assert [str(part.dtype) for part in result] == ["float32", "int16", "float32", "float32"]
            compare_lab.assert_soft(result, image, bins, **options, **arithmetic_of(backend))


@pytest.mark.ops("encode_soft")
@given(make.generators, st.sampled_from(["uint8", "float32"]), st.sampled_from(make.LAYOUTS), st.data())
def test_shapes_axes_and_layouts(
    backend: str, rng: np.random.Generator, dtype: str, layout: str, data: st.DataObject
) -> None:
    bins = SETS[data.draw(st.sampled_from(["the 313", "32 of yuv"]))]
    shape = data.draw(st.sampled_from([(5, 37), (1, 1), (3, 1, 20), (16,), (2, 3), (2, 40, 3), (4, 17, 1), (0, 3)]))
    channel, axis = (data.draw(st.integers(-len(shape) - 1, len(shape))) for _ in range(2))
    rgb = make.make_rgb(rng, "uniform", shape)
    image = make.as_kind(np.moveaxis(rgb if dtype == "uint8" else rgb / 255, -1, channel), "numpy", dtype, layout)
    options = {"neighbors": data.draw(st.sampled_from([1, 3, 5])), "sigma": 5.0, "weighting": "mean", "lam": 0.2}
    result = encode_soft(image, bins, backend, **options, axis=axis, channel_axis=channel, label_dtype="int16")
    if 0 not in shape:
        seen = np.moveaxis(image, channel, -1)
        compare_lab.assert_soft(result, seen, bins, **options, axis=axis, **arithmetic_of(backend))


@pytest.mark.ops("encode_soft")
@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64"])
def test_types_of_labels(backend: str, dtype: str) -> None:
    rgb = make.make_rgb(np.random.default_rng(8), "uniform", (20, 23))
    expected, labels = (
        encode_soft(rgb, SETS["1,024 at random"], backend, axis=0, label_dtype=of)[1] for of in ("int16", dtype)
    )
    assert labels.dtype == dtype
    assert np.array_equal(labels, expected)


@pytest.mark.ops("encode", "encode_soft")
def test_the_nearest_bin_is_the_label(backend: str) -> None:
    """Of the 313, whose cells are their own: wherever the nearest is nearer by more than rounding can tell."""
    bins, rng = fastcolor.ColorBins.zhang(), np.random.default_rng(3)
    rgb = make.make_rgb(rng, "uniform", (200, 200))
    hard, soft = anywhere.encode(rgb, bins, backend=backend), encode_soft(rgb, bins, backend, neighbors=1, axis=0)
    ab = reference.rgb_to_lab(rgb)[..., 1:]
    clear = (np.abs(np.abs(ab % 10 - 5)) > compare_lab.AB_ERROR).all(axis=-1)
    assert np.array_equal(hard[1][clear], soft[1][0][clear])
    assert clear.mean() > 0.999
    assert (soft[2] == 1).all()
    assert np.array_equal(hard[0], soft[0])


@pytest.mark.ops("encode_soft")
@pytest.mark.parametrize("name", ["the 313", "1,024 at random", "32 of yuv"])
@pytest.mark.parametrize("k", [1, 5, 9])
def test_the_order_of_the_bins_does_not_matter(backend: str, name: str, k: int) -> None:
    rng = np.random.default_rng(9)
    bins, rgb = SETS[name], make.make_rgb(rng, "uniform", (40, 30))
    order = rng.permutation(bins.n)
    moved = fastcolor.ColorBins(bins.table, bins.colors[order], bins.prior[order], space=bins.space)
    options = {"neighbors": k, "sigma": 0.1 * CHROMA_MAX[bins.space][0], "weighting": "mean", "axis": 0}
    one, other = (encode_soft(rgb, each, backend, **options) for each in (bins, moved))
    labels = order[other[1].astype(np.int64)]
    same = (labels == one[1]).all(axis=0)
    assert same.mean() > 0.999  # but for two bins at the same distance, the lower of which comes first
    assert np.array_equal(one[2][:, same], other[2][:, same])
    np.testing.assert_allclose(one[3][same], other[3][same], rtol=1e-5)


@pytest.mark.ops("encode_soft")
def test_ties_go_to_the_lowest_bin(backend: str) -> None:
    """Gray is exactly in the middle of what lies around it in YUV, and of bins that coincide every color is."""
    around = set_of(np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0], [1, 0]]) * 0.25, "yuv")
    gray = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    _, labels, shares, _ = encode_soft(gray, around, backend, neighbors=6, sigma=0.1, axis=0)
    assert (labels == np.array([4, 0, 1, 2, 3, 5])[:, None, None]).all()
    assert (np.diff(shares[1:], axis=0) == 0).all()
    rgb = make.make_rgb(np.random.default_rng(4), "uniform", (20, 20))
    labels = encode_soft(rgb, SETS["each three times"], backend, neighbors=4, axis=0)[1].astype(int)
    assert (labels[0] % 3 == 0).all()
    assert (labels[1] == labels[0] + 1).all()
    assert (labels[2] == labels[0] + 2).all()
    assert (labels[3] % 3 == 0).all()


@pytest.mark.ops("encode_soft")
@pytest.mark.parametrize("sigma", [1e-300, 1e-20, 1e-3, 1e3, 1e200])
def test_any_sigma(backend: str, sigma: float) -> None:
    """From the nearest bin alone to equal shares: a color far from all bins, too, never gets 0 / 0."""
    bins = set_of([[-110, -110], [-110, -109], [-100, -110]])
    rgb = make.make_rgb(np.random.default_rng(6), "uniform", (20, 20))
    shares = encode_soft(rgb, bins, backend, neighbors=3, sigma=sigma, axis=0)[2]
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
    if sigma < 1e-2:
        assert (shares[0] == 1).all()
    if sigma > 1e100:
        np.testing.assert_allclose(shares, 1 / 3, atol=1e-6)


@pytest.mark.ops("encode_soft")
@pytest.mark.parametrize("name", ["the 313", "32 of yuv"])
def test_nan_has_the_first_bins_and_no_shares(backend: str, name: str) -> None:
    rgb = np.random.default_rng(7).random((40, 3)).astype(F)
    whole = encode_soft(rgb, SETS[name], backend, neighbors=3, axis=0)
    rgb[::3, 1] = np.nan
    luma, labels, shares, _ = encode_soft(rgb, SETS[name], backend, neighbors=3, axis=0)
    assert (labels[:, ::3] == np.arange(3)[:, None]).all()
    assert np.isnan(shares[:, ::3]).all()
    assert np.isnan(luma[::3]).all()
    assert np.array_equal(labels[:, 1::3], whole[1][:, 1::3])
    assert np.array_equal(shares[:, 2::3], whole[2][:, 2::3])
