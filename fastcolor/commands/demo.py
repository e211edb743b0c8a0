"""``fastcolor demo``: a person, an animal, a landscape: gray input, colorized, original, confidence, in one picture."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from ..files.images import Photo, gray_of, read_photo
from ..files.marks import marked
from ..files.writing import check_writable_format, write_photo
from ..photo.colorizer import Colorizer
from ..plots.figures import Picture, confidence_map, contact_sheet, enlarged
from . import options

WIDTH = 480  # of a column
SAMPLES = Path(str(files("fastcolor.data"))) / "samples"
PHOTOGRAPHS = ("hopper.jpg", "chelsea.jpg", "aitzgorri.jpg")  # of the bundled ones


def add_arguments(parser: argparse.ArgumentParser) -> None:
    out = "picture to write (default: %(default)s)"
    parser.add_argument("-o", "--out", type=Path, default=Path("demo.png"), help=out)
    options.add(parser, "--model", "--temperature", "--size", "--force")


def run(args: argparse.Namespace) -> int:
    check_writable_format(args.out)
    options.check_named([SAMPLES, *options.model_files(args.model)], args, "--out")
    colorizer = Colorizer.load(args.model, temperature=args.temperature, size=args.size)
    write_photo(args.out, sheet(colorizer), metadata=marked(), replace=args.force)
    print(f"wrote {args.out}: gray input, colorized, original, confidence of {len(PHOTOGRAPHS)} photographs")
    return 0


def sheet(colorizer: Colorizer, *, width: int = WIDTH) -> Picture:
    """The picture, its columns `width` pixels wide."""
    rows = [_row(read_photo(SAMPLES / name), colorizer) for name in PHOTOGRAPHS]
    return contact_sheet(rows, width=width)


def _row(photo: Photo, colorizer: Colorizer) -> list[tuple[str, Picture]]:
    (prediction,) = colorizer.predict(colorizer.reduce(photo.luma)[None], with_confidence=True)
    assert photo.rgb is not None  # the samples are in color
    assert prediction.top is not None
    return [
        ("gray input", gray_of(photo.luma)),
        ("colorized", colorizer.render(prediction, photo.luma)),
        ("original", photo.rgb),
        ("confidence: dark is unsure, yellow is sure", enlarged(confidence_map(prediction.top), photo.luma.shape)),
    ]
