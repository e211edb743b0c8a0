"""Pictures for people: contact sheets with captions, confidence as colors, what a set of bins does to a photograph."""

from __future__ import annotations

import argparse
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from ..bins import ColorBins
from ..encoding import encode
from ..files.images import gray_of, read_photo
from ..files.writing import write_photo
from ..ops import annealed_mean, merge

Picture = NDArray[np.uint8]

_BACKGROUND, _INK = (255, 255, 255), (32, 32, 32)
_GAP = 8  # pixels around and between the pictures
_TEXT, _TITLE = 15, 20  # heights of the letters in pixels
_LEADING = 1.3  # distance of lines over the height of letters
_ENDS = {0.0: " (the mode)", 1.0: " (the mean)"}  # what the annealed mean is at these temperatures

# Viridis (matplotlib, CC0) at 17 equal steps; linear in between, it is within 6 levels of the original.
_VIRIDIS = np.frombuffer(
    bytes.fromhex(
        "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26818e 21908c"
        "1f9f88 28ae80 3ebc74 5dc963 82d34c abdc32 d5e21a fde725"
    ),
    dtype=np.uint8,
).reshape(-1, 3)


def contact_sheet(
    rows: Sequence[Sequence[tuple[str, NDArray[np.uint8]]]], *, width: int = 320, title: str | None = None
) -> Picture:
    """Rows of captioned images on white, each image scaled to `width` with its shape kept.

    Parameters
    ----------
    rows : sequence of sequences of (caption, image)
        Images are uint8, (H, W, 3) or (H, W); rows may differ in length. Long captions are wrapped;
        the font has ASCII only, so accents are dropped and other letters become "?".
    width : int
        Width of a column in pixels, at least 16.
    title : str, optional
        A line above everything.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8

    Raises
    ------
    ValueError, TypeError
        No image, an empty one, or one that is not uint8 of those shapes.

    Examples
    --------
    >>> gray = np.zeros((20, 40), np.uint8)
    >>> contact_sheet([[("one", gray), ("two", gray)]], width=100).shape[1]
    224
    """
    if width < 16:
        raise ValueError(f"width: expected at least 16 pixels, got {width}")
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        raise ValueError("rows: expected at least one (caption, image), got none")
    total = columns * (width + _GAP) + _GAP
    strips = [_text(title, total - 2 * _GAP, _TITLE)] if title else []
    strips += [_beside([_captioned(caption, image, width) for caption, image in row]) for row in rows if len(row)]
    sheet = Image.new("RGB", (total, sum(s.height + _GAP for s in strips) + _GAP), _BACKGROUND)
    return np.asarray(_pasted(sheet, strips, _GAP, down=True))


def confidence_map(top: ArrayLike) -> Picture:
    """``viridis(top)``: confidence in [0, 1] as RGB, dark blue for 0 and yellow for 1; NaN is black.

    Parameters
    ----------
    top : array_like, shape (...)
        As :func:`fastcolor.confidence` gives it; clipped to [0, 1]. The scale is fixed, so that pictures compare.

    Returns
    -------
    ndarray, shape (..., 3), uint8

    Examples
    --------
    >>> confidence_map([0.0, 1.0, np.nan]).tolist()
    [[68, 1, 84], [253, 231, 37], [0, 0, 0]]
    """
    values = np.asarray(top, dtype=np.float64)
    steps = np.linspace(0.0, 1.0, len(_VIRIDIS))
    rgb = np.stack([np.interp(np.nan_to_num(values), steps, channel) for channel in _VIRIDIS.T], axis=-1)
    return np.where(np.isnan(values)[..., None], 0, np.floor(rgb + 0.5)).astype(np.uint8)


def enlarged(picture: Picture, shape: tuple[int, ...]) -> Picture:
    """`picture` (h, w, 3) stretched to the height and width of `shape`, bilinearly: a map beside its photograph.

    Examples
    --------
    >>> enlarged(np.zeros((2, 2, 3), np.uint8), (30, 40)).shape
    (30, 40, 3)
    """
    return np.asarray(Image.fromarray(picture).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def quantization_figure(
    photo: NDArray[np.uint8],
    bins: ColorBins,
    temperatures: Sequence[float] = (0.0, 0.38, 1.0),
    *,
    width: int = 320,
    reach: float = 0.05,
) -> Picture:
    """A photograph, its luma, its colors in n bins, and the annealed mean of uncertain colors at some temperatures.

    No network is needed: the probabilities of a pixel are the shares of the bins in the square around it, as if a
    network knew what colors there are but not exactly where.

    Parameters
    ----------
    photo : ndarray, shape (H, W, 3), uint8
    bins : ColorBins
    temperatures : sequence of float
        T >= 0, one picture each.
    width : int
        Width of each picture in pixels.
    reach : float
        Half the side of the square, relative to the width.

    Returns
    -------
    ndarray, shape (H', W', 3), uint8

    References
    ----------
    Zhang et al. 2016 (arXiv:1603.08511), Figure 3: low temperatures are vivid, T = 1 is pale.

    Examples
    --------
    >>> photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    >>> quantization_figure(photo, ColorBins.default(), width=100).shape[1]
    332
    """
    picture = _picture(photo)
    small = np.asarray(picture.resize((width, max(1, round(picture.height * width / picture.width)))))
    luma, labels, _ = encode(small, bins)
    quantized = merge(np.moveaxis(bins.colors[labels], -1, 0), luma)
    around = max(1, round(reach * width))
    with np.errstate(divide="ignore"):
        logits = np.log(_shares(labels, bins.n, around))  # -inf where a bin does not occur
    means = [merge(annealed_mean(logits, bins, temperature=t), luma) for t in temperatures]
    first = [("photograph", small), ("luma", gray_of(luma))]
    captions = [f"annealed mean, T = {t:g}{_ENDS.get(t, '')}" for t in temperatures]
    side = 2 * around + 1
    title = f"Second row: each pixel knows only how frequent the bins are in the {side} x {side} pixels around it."
    rows = [[*first, (f"its colors in {bins.n} bins", quantized)], list(zip(captions, means, strict=True))]
    return contact_sheet(rows, width=width, title=title)


def _shares(labels: NDArray[np.uint8], n: int, reach: int) -> NDArray[np.float32]:
    """How many pixels of each label lie within `reach` rows and columns of each pixel: (H, W) -> (n, H, W)."""
    counts = (labels == np.arange(n)[:, None, None]).astype(np.int32)
    for axis in (1, 2):
        size = counts.shape[axis]
        before = np.concatenate([np.zeros_like(counts.take([0], axis)), counts.cumsum(axis, dtype=np.int32)], axis)
        i = np.arange(size)
        counts = before.take(np.minimum(i + reach + 1, size), axis) - before.take(np.maximum(i - reach, 0), axis)
    return counts.astype(np.float32)


def _captioned(caption: str, image: Picture, width: int) -> Image.Image:
    """The image scaled to `width`, its caption below."""
    picture = _picture(image)
    height = max(1, round(picture.height * width / picture.width))
    text = _text(caption, width, _TEXT)
    cell = Image.new("RGB", (width, height + text.height), _BACKGROUND)
    cell.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (0, 0))
    cell.paste(text, (0, height))
    return cell


def _picture(image: Picture) -> Image.Image:
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"image: expected dtype uint8, got {image.dtype}; fastcolor.reference.to_uint8 rounds [0, 1]")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3)) or not image.size:
        raise ValueError(f"image: expected shape (H, W, 3) or (H, W) with pixels, got {image.shape}")
    return Image.fromarray(np.ascontiguousarray(image)).convert("RGB")


def _beside(cells: list[Image.Image]) -> Image.Image:
    width = sum(cell.width + _GAP for cell in cells) - _GAP
    return _pasted(Image.new("RGB", (width, max(cell.height for cell in cells)), _BACKGROUND), cells, 0, down=False)


def _pasted(sheet: Image.Image, parts: list[Image.Image], place: int, *, down: bool) -> Image.Image:
    """`parts` one after the other on `sheet`, the first `place` pixels from its left and top."""
    x = y = place
    for part in parts:
        sheet.paste(part, (x, y))
        x, y = (x, y + part.height + _GAP) if down else (x + part.width + _GAP, y)
    return sheet


def _text(text: str, width: int, size: int) -> Image.Image:
    """Lines of text on white, wrapped at words to `width`."""
    font = ImageFont.load_default(size)
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = "".join(letters).encode("ascii", "replace").decode()
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    step = round(size * _LEADING)
    canvas = Image.new("RGB", (width, step * len(lines) + size // 3), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((0, number * step + size // 4), line, fill=_INK, font=font)
    return canvas


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m fastcolor.plots.figures PHOTO -o OUT``: :func:`quantization_figure` of a photograph, default bins."""
    parser = argparse.ArgumentParser(
        prog="python -m fastcolor.plots.figures", description="What bins do to a photograph."
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JPEG, PNG, TIFF or WebP")
    args = parser.parse_args(argv)
    photo = read_photo(args.photo)
    if photo.rgb is None:
        parser.error(f"{args.photo}: expected a color photograph, got a grayscale one")
    write_photo(args.output, quantization_figure(photo.rgb, ColorBins.default()), quality=88)
    return 0


if __name__ == "__main__":
    sys.exit(main())
