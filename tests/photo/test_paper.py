"""Paper stays white: no tint at the ends of the range nor on the borders of scans, and color everywhere else."""

from __future__ import annotations

import io
from collections import deque

import numpy as np
import pytest
from PIL import Image

from fastcolor import merge, reference
from fastcolor.photo import paper
from fastcolor.photo.paper import render

RNG = np.random.default_rng(0)
TINT = np.array([0.03, -0.02], np.float32)[:, None, None]
LEVELS = np.arange(256, dtype=np.uint8)[None]
INSIDE = slice(paper.DARK, 256 - paper.LIGHT)  # levels that keep their color


def tint(rgb: np.ndarray) -> np.ndarray:
    """max - min of R, G, B."""
    return rgb.max(axis=-1).astype(int) - rgb.min(axis=-1)


@pytest.mark.promise(
    "Paper and tone", "A pixel at 0 or at the top of the range has no tint, one between keeps its color"
)
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("strength", [0.5, 1.0, 8.0])
def test_ends_of_the_range(deep: bool, strength: float) -> None:
    luma = (LEVELS / np.float32(255)).astype(np.float32) if deep else LEVELS
    rgb, merged = render(TINT * np.float32(strength), luma, borders=False), merge(TINT * np.float32(strength), luma)
    assert rgb[0, 0].tolist() == [0, 0, 0]
    assert rgb[0, 255].tolist() == [255, 255, 255]
    assert np.array_equal(rgb[:, INSIDE], merged[:, INSIDE])
    assert (tint(rgb) <= tint(merged) + 1).all()
    assert (np.diff(tint(rgb)[0, 256 - paper.LIGHT :]) <= 1).all(), "it fades"
    # Rounded twice, to half a level each time; what the cube has cut off of the luma is no more than before.
    off, before = (np.abs(reference.rgb_to_yuv(one)[..., 0] * 255 - LEVELS) for one in (rgb, merged))
    assert (off <= np.maximum(before, 0.5) + 0.5 + 1e-6).all()


def scan(border: int, noise: int, *, quality: int | None = None, sides: str = "tblr") -> np.ndarray:
    """A textured photograph of 30..220 with a border, 24 pixels wide, on some sides."""
    photograph = RNG.integers(30, 221, (10, 12), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(photograph).resize((120, 100), Image.Resampling.BICUBIC)).clip(30, 220)
    where = [(24 * (one in sides), 24 * (other in sides)) for one, other in ("tb", "lr")]
    wide = np.pad(picture.astype(int), where, constant_values=border)
    frame = np.pad(np.zeros(picture.shape, bool), where, constant_values=True)
    wide[frame] += RNG.integers(-noise, noise + 1, frame.sum())
    gray = wide.clip(0, 255).astype(np.uint8)
    if quality:
        file = io.BytesIO()
        Image.fromarray(gray).save(file, "JPEG", quality=quality)
        gray = np.asarray(Image.open(file))
    return gray


@pytest.mark.promise(
    "Paper and tone",
    "The paper around a scan and the black edge of a film get no tint, the picture keeps its color",
)
@pytest.mark.parametrize(
    ("border", "noise", "quality"),
    [(255, 0, None), (250, 5, None), (246, 4, 85), (243, 3, 60), (4, 4, None), (8, 3, 85), (0, 0, None)],
)
@pytest.mark.parametrize("sides", ["tblr", "br", "l"])
@pytest.mark.parametrize("deep", [False, True])
def test_borders(border: int, noise: int, quality: int | None, sides: str, deep: bool) -> None:
    gray = scan(border, noise, quality=quality, sides=sides)
    luma = (gray / np.float32(255)).astype(np.float32) if deep else gray
    rgb, merged = render(TINT, luma), merge(TINT, luma)
    inside = (gray >= 40) & (gray <= 210)
    assert np.array_equal(rgb[inside], merged[inside])
    right, bottom = gray.shape[1] - 1, gray.shape[0] - 1
    lines = {"t": rgb[:16], "b": rgb[bottom - 15 :], "l": rgb[:, :16], "r": rgb[:, right - 15 :]}
    assert max(tint(lines[side]).max() for side in sides) <= 1
    if border > 128 and noise:
        assert tint(render(TINT, luma, borders=False)).max() > 1, "it is the border that this test is about"


@pytest.mark.parametrize("place", [(slice(40, 70), slice(50, 80)), (slice(0, 30), slice(0, 60))])
def test_white_that_is_no_border_keeps_its_color(place: tuple[slice, slice]) -> None:
    """A shirt; a window at the edge."""
    gray = scan(0, 0, sides="")
    gray[place] = 244
    assert np.array_equal(render(TINT, gray), render(TINT, gray, borders=False))
    assert tint(render(TINT, gray))[place].min() > 3


@pytest.mark.promise("Paper and tone", "In a film a pixel's color fades by its own luma alone: nothing flickers")
def test_films_look_at_single_pixels() -> None:
    gray = scan(250, 5)
    order = RNG.permutation(gray.size)
    mixed = render(TINT, gray.reshape(-1)[order].reshape(gray.shape), borders=False)
    assert np.array_equal(mixed.reshape(-1, 3), render(TINT, gray, borders=False).reshape(-1, 3)[order])


def test_what_hangs_together_with_the_border() -> None:
    for _ in range(30):
        mask = RNG.random(RNG.integers(1, 14, 2)) < 0.6
        assert np.array_equal(paper._from_border(mask), flooded(mask))


def flooded(mask: np.ndarray) -> np.ndarray:
    """By the definition: from element to element."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = True
    waiting = deque(map(tuple, np.argwhere(mask & ~inner)))
    reached = np.zeros_like(mask)
    while waiting:
        row, column = waiting.popleft()
        if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column] > reached[row, column]:
            reached[row, column] = True
            waiting.extend([(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)])
    return reached
