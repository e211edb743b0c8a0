"""Pictures: their sizes, what is where in them, and what is refused. How they look was looked at."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

import fastcolor
from fastcolor import ColorBins, MissingExtraError
from fastcolor.plots import curves, figures
from fastcolor.plots.curves import plot_bins
from fastcolor.plots.figures import confidence_map, contact_sheet, quantization_figure

RED = np.full((20, 40, 3), (255, 0, 0), np.uint8)
GRAY = np.full((10, 10), 90, np.uint8)
BINS = ColorBins.default()


# Contact sheets


def test_each_image_is_in_its_place() -> None:
    sheet = contact_sheet([[("red", RED), ("gray", GRAY)], [("gray", GRAY)]], width=100)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * 100 + 3 * 8
    assert sheet[8, 8].tolist() == [255, 0, 0]
    assert sheet[8 + 49, 107].tolist() == [255, 0, 0]  # 40 x 20 becomes 100 x 50
    assert sheet[8, 116].tolist() == [90, 90, 90]
    assert sheet[8 + 99, 215].tolist() == [90, 90, 90]
    second = np.flatnonzero((sheet[:, 8] == 90).all(axis=-1))
    assert len(second) == 100  # the second row is below the first
    assert second[0] > 107
    assert (sheet[second[0], 116:] == 255).all()  # nothing beside it


def test_captions_and_titles_are_drawn_and_wrapped() -> None:
    def ink(caption: str, title: str | None = None) -> tuple[int, int]:
        sheet = contact_sheet([[(caption, GRAY)]], width=100, title=title)
        return len(sheet), int((sheet < 64).all(axis=-1).sum())

    height, dark = ink("")
    assert dark == 0
    assert ink("word")[0] == height
    assert ink("word")[1] > 20
    assert ink("many words that do not fit into one line")[0] > height
    assert ink("two\nlines")[0] > height
    assert ink("", title="title")[0] > height
    assert ink("été λ")[1] > 20  # accents are dropped, other letters are question marks; nothing fails


def test_a_word_longer_than_the_column_is_cut_not_lost() -> None:
    assert contact_sheet([[("x" * 500, GRAY)]], width=50).shape[1] == 66


@pytest.mark.parametrize("image", [RED[::2, ::-1], np.asfortranarray(RED), np.broadcast_to(RED[:1, :1], (5, 7, 3))])
def test_views_are_drawn(image: np.ndarray) -> None:
    assert contact_sheet([[("", image)]], width=16)[9, 9].tolist() == [255, 0, 0]


def test_the_images_are_left_alone_and_extreme_shapes_have_a_row() -> None:
    line = np.full((1, 5000), 7, np.uint8)
    before = line.copy()
    assert (contact_sheet([[("", line)]], width=32)[8, 8:40] == 7).all()
    np.testing.assert_array_equal(line, before)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], ValueError, "rows: expected at least one"),
        ([[]], ValueError, "rows: expected at least one"),
        ([[("", RED.astype(float))]], TypeError, "image: expected dtype uint8, got float64"),
        ([[("", RED[..., :2])]], ValueError, r"image: expected shape \(H, W, 3\) or \(H, W\)"),
        ([[("", RED[:0])]], ValueError, "with pixels, got"),
        ([[("", RED[None])]], ValueError, "image: expected shape"),
    ],
)
def test_bad_sheets(rows: Sequence[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        contact_sheet(rows)


def test_too_narrow() -> None:
    with pytest.raises(ValueError, match="width: expected at least 16"):
        contact_sheet([[("", RED)]], width=15)


# Confidence


def test_confidence_is_viridis() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    values = np.linspace(0, 1, 256)
    expected = matplotlib.colormaps["viridis"](values)[:, :3] * 255
    assert np.abs(confidence_map(values) - expected).max() <= 6.5


def test_confidence_grows_brighter() -> None:
    luma = confidence_map(np.linspace(0, 1, 200)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) >= -1).all()
    assert luma[-1] - luma[0] > 180


def test_confidence_outside_and_nan() -> None:
    colors = confidence_map(np.array([[-1.0, 0.0, 1.0, 2.0, np.inf, np.nan]], np.float32))
    assert colors.shape == (1, 6, 3)
    assert colors[0, 0].tolist() == colors[0, 1].tolist()
    assert colors[0, 2].tolist() == colors[0, 3].tolist() == colors[0, 4].tolist()
    assert colors[0, 5].tolist() == [0, 0, 0]


# What bins do to a photograph


def test_shares_count_the_square_around_each_pixel() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (7, 9), dtype=np.uint8)
    shares = figures._shares(labels, 3, 2)
    for i in range(7):
        for j in range(9):
            window = labels[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
            assert shares[:, i, j].tolist() == np.bincount(window.ravel(), minlength=3).tolist()


def test_a_photo_of_one_color_stays_it() -> None:
    """With one bin in every square all temperatures decode alike; only the quantization shows."""
    photo = np.full((30, 30, 3), (90, 120, 200), np.uint8)
    sheet = quantization_figure(photo, BINS, width=60)
    colors = {tuple(int(c) for c in color) for color in sheet.reshape(-1, 3)}
    luma, labels, _ = fastcolor.encode(photo[:1, :1], BINS)
    quantized = fastcolor.reference.join(luma, BINS.colors[labels])[0, 0]
    assert {(90, 120, 200), tuple(int(c) for c in quantized)} <= colors


def test_low_temperatures_are_more_vivid() -> None:
    photo = np.asarray(
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((60, 60))
    )
    cold, warm = (quantization_figure(photo, BINS, [t], width=60)[-75:-25, 8:68].astype(int) for t in (0.1, 4.0))
    spread = [np.abs(image - image.mean(axis=-1, keepdims=True)).mean() for image in (cold, warm)]
    assert spread[0] > 1.1 * spread[1]


def test_the_figure_as_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(RED).save(tmp_path / "a.png")
    assert figures.main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out.png")]) == 0
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size[0] == 3 * 320 + 4 * 8
    Image.fromarray(GRAY).save(tmp_path / "gray.png")
    with pytest.raises(SystemExit):
        figures.main([str(tmp_path / "gray.png"), "-o", str(tmp_path / "no.png")])
    assert "expected a color photograph" in capsys.readouterr().err


def test_the_picture_in_the_docs_is_small() -> None:
    picture = ROOT / "docs" / "bins.jpg"
    assert picture.stat().st_size <= 300_000


# Plots


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PDF"])
def test_plot_of_bins(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"bins{suffix}"
    plot_bins(BINS, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".png":
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert picture.shape[0] > 400
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 2 * BINS.n


def test_plot_of_bins_without_pixels_in_one(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    prior = np.array([0.0, 1.0])
    bins = ColorBins(np.array([[0]], np.uint8), np.zeros((2, 2)), prior)
    plot_bins(bins, tmp_path / "a.png")


def test_plot_leaves_pyplot_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import matplotlib as mpl

    before, was_loaded = mpl.get_backend(auto_select=False), "matplotlib.pyplot" in sys.modules
    plot_bins(BINS, tmp_path / "a.png")
    assert mpl.get_backend(auto_select=False) == before
    assert ("matplotlib.pyplot" in sys.modules) == was_loaded


def test_plot_of_a_foreign_suffix(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"plot: expected a name that ends in .*\.png.*, got .*a\.docx"):
        curves.check_plot(tmp_path / "a.docx")


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"a plot needs matplotlib.*fastcolor\[plot\]"):
        plot_bins(BINS, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
