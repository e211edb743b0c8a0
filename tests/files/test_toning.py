"""Toned photographs are gray ones: known by their one curve, and not taken for photographs in color."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from fastcolor.files.images import as_photo, luma_of, read_photo
from fastcolor.files.toning import is_toned
from fastcolor.film.io import _on_white
from fastcolor.fitting.counting import count_files
from fastcolor.fitting.images import each_image

PICTURES = sorted([*(ROOT / "docs/pictures").glob("*.jpg"), *(ROOT / "fastcolor/data/samples").glob("*.jpg")])[::2]
TONES = {  # RGB of black, middle gray, white
    "sepia": ((30, 20, 10), (150, 120, 85), (255, 240, 215)),
    "albumen": ((50, 30, 25), (140, 110, 90), (240, 225, 190)),
    "cyanotype": ((10, 25, 70), (70, 120, 165), (235, 245, 250)),
    "selenium": ((25, 18, 25), (128, 118, 124), (250, 248, 246)),
}


def toned(gray: np.ndarray, tone: str, grain: float = 0.0) -> np.ndarray:
    curve = np.stack(
        [np.interp(np.arange(256), (0, 128, 255), channel) for channel in zip(*TONES[tone], strict=True)], -1
    )
    noise = np.random.default_rng(0).normal(0, grain, (*gray.shape, 3))
    return (curve[gray] + noise + 0.5).clip(0, 255).astype(np.uint8)


def gray_of(path: Path, side: int = 512) -> np.ndarray:
    image = Image.open(path).convert("L")
    image.thumbnail((side, side))
    return np.asarray(image)


@pytest.mark.promise(
    "Paper and tone",
    "A sepia, albumen or selenium print or a cyanotype is told as toned and read as gray",
)
@pytest.mark.parametrize("tone", TONES)
def test_toned_photographs(tmp_path: Path, tone: str) -> None:
    known = []
    for path in PICTURES:
        made = toned(gray_of(path), tone, grain=3.0)
        Image.fromarray(made).save(tmp_path / "a.jpg", quality=90)
        photo = read_photo(tmp_path / "a.jpg")
        assert photo.rgb is not None, "a tone is told, and takes no color out of measurements"
        assert np.array_equal(photo.luma, luma_of(np.asarray(Image.open(tmp_path / "a.jpg"))))
        known.append(photo.toned)
    assert sum(known) >= len(known) - 1, [path.stem for path, one in zip(PICTURES, known, strict=True) if not one]


@pytest.mark.promise(
    "Paper and tone",
    "A photograph in color is not taken for a toned one",
)
def test_photographs_in_color() -> None:
    small = {path.stem: np.asarray(Image.open(path).convert("RGB").reduce(2)) for path in PICTURES}
    colored = {name: rgb for name, rgb in small.items() if np.ptp(rgb.astype(int), axis=-1).mean() > 20}
    assert len(colored) >= 6
    assert not [name for name, rgb in colored.items() if is_toned(rgb)]


def saved(image: Image.Image, kind: str) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind)
    return file


@pytest.mark.promise("Paper and tone", "A gray picture stored as color is gray to the bit, and not called toned")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "array"])
def test_gray_stored_as_color(kind: str) -> None:
    gray = Image.fromarray(gray_of(PICTURES[0], 64))
    stored = gray if kind == "AVIF" else gray.quantize(256) if kind == "GIF" else gray.convert("RGB")
    photo = as_photo(np.asarray(stored) if kind == "array" else saved(stored, kind))
    assert photo.rgb is None or kind == "WEBP", "lossy WebP changes the colors"
    assert not photo.toned or kind == "WEBP"
    if kind in ("PNG", "GIF", "TIFF", "array"):
        assert photo.luma.dtype == np.uint8
        assert np.array_equal(photo.luma, np.asarray(gray))


@pytest.mark.promise("Paper and tone", "Of a toned file, fit and films see the colors; counting lists it as gray")
def test_who_sees_the_colors(tmp_path: Path) -> None:
    sepia = toned(gray_of(PICTURES[0], 100), "sepia")
    Image.fromarray(sepia).save(tmp_path / "a.png")
    (seen,) = each_image(tmp_path / "a.png")
    assert np.array_equal(seen, sepia)
    assert np.array_equal(_on_white(read_photo(tmp_path / "a.png"), True), sepia)
    assert count_files([tmp_path / "a.png"], [4]).gray == [tmp_path / "a.png"]
    assert as_photo(sepia).toned
    assert as_photo(Image.fromarray(sepia)).toned


def test_what_no_tone_can_be_seen_in() -> None:
    gray = gray_of(PICTURES[0], 80)
    assert is_toned(toned(gray, "sepia"))
    assert not is_toned(toned(gray[:30], "sepia")), "too small"
    assert not is_toned(toned(100 + gray // 16, "sepia")), "too little contrast"
    assert not is_toned(np.full((64, 64, 3), (90, 120, 60), np.uint8))
    assert not is_toned(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def test_two_hues_of_one_lightness_are_no_tone() -> None:
    """Half of it toned otherwise: a curve for each, and none for both."""
    gray = gray_of(PICTURES[0], 300)
    half = gray.shape[1] // 2
    both = np.hstack([toned(gray[:, :half], "sepia"), toned(gray[:, half:], "selenium")])
    assert not is_toned(both)
