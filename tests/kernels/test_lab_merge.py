"""Merge in Lab, and in batches in either space: within a level of float64, and only where rounding may tip it."""

from __future__ import annotations

from typing import Any

import anywhere
import compare
import compare_lab
import numpy as np
import pytest
import strategies as make
from fastcolor.reference.constants import CHROMA_LIMIT, LUMA_MAX
from hypothesis import given
from hypothesis import strategies as st

import fastcolor
from fastcolor import reference

F = np.float32


def drawn(rng: np.random.Generator, have: tuple[int, int], want: tuple[int, int], reach: float = 120.0) -> Any:
    return rng.uniform(-reach, reach, (2, *have)).astype(F), rng.uniform(0, 100, want).astype(F)


@pytest.mark.ops("merge")
@given(make.generators, make.shapes(2000), make.shapes(5000), st.sampled_from([120.0, 30.0, 2.0, 0.0]), st.booleans())
def test_merge_in_lab(backend: str, rng: np.random.Generator, have: Any, want: Any, reach: float, odd: bool) -> None:
    chroma, luma = drawn(rng, tuple(max(side, 1) for side in have), want, reach)
    if odd:
        chroma[rng.random(chroma.shape) < 0.05] = np.nan
        luma[rng.random(luma.shape) < 0.1] = np.nan
    rgb = anywhere.merge(chroma, luma, space="lab", backend=backend)
    assert rgb.shape == (*want, 3)
    if 0 not in want:
        compare_lab.assert_lab_merged(rgb, chroma, luma)


@pytest.mark.ops("merge")
def test_the_whole_of_lab(backend: str) -> None:
    """Every L by whole units of ab, over the limits of both: dark colors, both knees, all that is clipped."""
    ab = np.arange(-128, 129, dtype=F)
    chroma = np.stack(np.meshgrid(ab, ab, indexing="ij"))
    for light in (0.0, 0.5, 2.0, 7.9, 8.0, 8.1, 30.0, 65.0, 99.0, 100.0):
        luma = np.full((257, 257), light, F)
        compare_lab.assert_lab_merged(anywhere.merge(chroma, luma, space="lab", backend=backend), chroma, luma)


@pytest.mark.ops("merge", "encode")
def test_lab_of_a_color_gives_it_back(backend: str) -> None:
    """L of encode and the float64 ab of 2^18 colors: the same levels again."""
    level = np.arange(0, 256, 4, dtype=np.uint8)
    rgb = np.stack(np.meshgrid(level, level, level), axis=-1).reshape(512, 512, 3)
    luma = anywhere.encode(rgb, fastcolor.ColorBins.zhang(), backend=backend)[0]
    ab = np.ascontiguousarray(np.moveaxis(reference.rgb_to_lab(rgb)[..., 1:], -1, 0)).astype(F)
    assert np.array_equal(anywhere.merge(ab, luma, space="lab", backend=backend), rgb)


@pytest.mark.ops("merge")
@pytest.mark.parametrize("space", ["yuv", "lab"])
@pytest.mark.parametrize("size", [(9, 33), (4, 8), (1, 16)])
def test_several_images_are_each_by_itself(backend: str, space: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    chroma = (rng.uniform(-0.4, 0.4, (3, 2, 5, 7)) * (1 if space == "yuv" else 200)).astype(F)
    luma = (rng.random((3, *size)) * LUMA_MAX[space]).astype(F)
    together = anywhere.merge(chroma, luma, space=space, backend=backend)
    for part, light, rgb in zip(chroma, luma, together, strict=True):
        assert np.array_equal(anywhere.merge(part, light, space=space, backend=backend), rgb)
        if space == "yuv":
            compare.assert_merged(rgb, part, light)
        else:
            compare_lab.assert_lab_merged(rgb, part, light)


@pytest.mark.parametrize("space", ["yuv", "lab"])
@pytest.mark.parametrize("width", [5, 40])
@pytest.mark.parametrize("value", [1.01, -0.01, 3.0, np.inf, -np.inf])
def test_luma_and_chroma_outside_their_range(space: str, width: int, value: float) -> None:
    backend = "numba"  # a GPU is not asked to look
    chroma, luma = np.zeros((2, 3, 17), F), np.full((30, width), 0.5 * LUMA_MAX[space], F)
    luma[0, 0] = np.nan
    chroma[0, 0, 0] = np.nan
    luma[1, :2] = F(LUMA_MAX[space]) * F(make.UNIT)
    for kind, limit in enumerate(CHROMA_LIMIT[space]):
        chroma[kind, 1, :2] = F(limit) * F([-1.003, 1.003])
    anywhere.merge(chroma, luma, space=space, backend=backend)
    luma[17, width - 1] = value * LUMA_MAX[space]
    with pytest.raises(ValueError, match="luma"):
        anywhere.merge(chroma, luma, space=space, backend=backend)
    luma[17, width - 1] = 0
    for kind, limit in enumerate(CHROMA_LIMIT[space]):
        beyond = chroma.copy()
        beyond[kind, 2, 16] = (value if abs(value) > 1 else 1 - value) * limit
        with pytest.raises(ValueError, match=f"chroma, {('first', 'second')[kind]}"):
            anywhere.merge(beyond, luma, space=space, backend=backend)
