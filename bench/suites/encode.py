"""Suites ``encode`` and ``histogram``: uint8 photographs to labels, and to counts of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from .. import bytes as traffic
from ..cases import Candidate, Case, Check, Setting, Verdict
from ..peers import arrays, other
from ..peers.registry import Peers
from . import compare, inputs
from .sizes import Size, comes_with, sizes

LAM = 0.2


def encode(setting: Setting) -> Iterator[Case]:
    for size in sizes(setting, "uint8 photo"):
        yield _encode(setting, size)
    if setting.plain and not setting.quick and comes_with(setting, -1):
        yield all_colors(setting, "encode", inputs.bins(), _ours)


def _encode(setting: Setting, size: Size) -> Case:
    bins = inputs.bins()
    rgb, weights = inputs.photo(size.height, size.width), bins.weights(LAM)
    make = Peers(setting, rgb)

    def table(p: Any) -> Callable[..., Any]:
        return p.encode_all_colors(_labels_of_all_colors(), weights)

    candidates = make.ours(_ours, second=True) + (make.ours_on_cupy(_ours) if size.main or size.host else [])
    candidates += [
        make.torch("torch eager", lambda p: p.encode(bins, weights)),
        make.torch("torch.compile", lambda p: p.encode(bins, weights), "compiled"),
        make.torch("torch.compile, 16-MB table", table, "compiled"),
    ]
    if make.where.gpu:
        candidates += [
            make.cupy("CuPy", lambda p: p.encode(bins, weights)),
            make.cupy("CuPy, fused", lambda p: p.encode_fused(bins, weights)),
            make.cupy("CuPy, 16-MB table", table),
        ]
    else:
        candidates += _cpu_peers(setting, rgb, make, table)
    return size.case("encode", image(size), traffic.encode(size.pixels), _check(rgb), candidates)


def image(size: Size) -> str:
    return f"{size.height}x{size.width}x3 uint8 channels-last"


def _ours(backend: str) -> Callable[[Any], Any]:
    return lambda rgb: fastcolor.encode(rgb, inputs.bins(), lam=LAM, backend=backend)


def _cpu_peers(setting: Setting, rgb: np.ndarray, make: Peers, table: Callable[[Any], Any]) -> list[Candidate]:
    bins = inputs.bins()
    weights, rows, threads = bins.weights(LAM), len(rgb) // 32, setting.threads
    crop = rgb[len(rgb) // 2 :][:rows]  # the dictionary look-up takes half a second a megapixel
    nearest = "nearest color of a bin, which is another partition than the cells"
    edges = "float64 rounding at the edges of the cells"
    return [
        make.numpy("numpy", lambda p: p.encode(bins, weights)),
        make.numpy("numpy, blocked", lambda p: arrays.by_rows(p.encode(bins, weights))),
        make.numpy("numpy, 16-MB table", lambda p: arrays.by_rows(table(p))),
        make.other(
            "sklearn NearestNeighbors", "sklearn", other.encode_sklearn, bins, weights, threads, inexact=nearest
        ),
        make.other("scipy cKDTree", "scipy", other.encode_kdtree, bins, weights, threads, inexact=nearest),
        make.other("scikit-image rgb2yuv", "skimage", other.encode_skimage, bins, weights, slow=True, inexact=edges),
        Candidate(
            "dictionary, pixel by pixel",
            lambda: other.encode_dictionary(crop, bins, weights),
            share=len(crop) / len(rgb),
            slow=True,
            check=_check(crop),
        ),
    ]


def _check(rgb: np.ndarray) -> Check:
    """Labels equal; luma and weight to float32 rounding."""
    luma, labels, weights = reference.encode(rgb, inputs.bins(), lam=LAM)
    return compare.every(
        [
            compare.equal(labels, compare.part(1)),
            compare.close(luma, absolute=3e-7, pick=compare.part(0)),
            compare.close(weights, relative=1e-6, pick=compare.part(2)),
        ]
    )


@lru_cache(maxsize=1)
def _labels_of_all_colors() -> np.ndarray:
    bins = inputs.bins()
    labels = arrays.by_rows(arrays.Arrays(np).encode(bins, bins.weights(LAM)))(arrays.all_colors())[1]
    return np.ascontiguousarray(labels).reshape(-1)


def all_colors(setting: Setting, suite: str, bins: Any, ours: Any, label_bytes: int = 1) -> Case:
    """Every uint8 color once: how many labels differ from the reference."""
    rgb = arrays.all_colors()

    def check(answer: Any) -> Verdict:
        labels, parts = np.asarray(answer[1]), range(0, 4096, 256)
        wrong = sum(int((labels[i : i + 256] != reference.encode(rgb[i : i + 256], bins)[1]).sum()) for i in parts)
        return Verdict(wrong == 0, wrong / labels.size, float(wrong), "labels of all 2^24 colors equal")

    size = Size(4096, 4096, "all 2^24 colors")
    candidates = Peers(setting, rgb).ours(ours, second=True)
    return size.case(suite, image(size), traffic.encode(size.pixels, label_bytes), check, candidates)


def histogram(setting: Setting) -> Iterator[Case]:
    for size in sizes(setting, "uint8 photo"):
        yield _histogram(setting, size)


def _histogram(setting: Setting, size: Size) -> Case:
    rgb, cells = inputs.photo(size.height, size.width), inputs.bins().cells
    make = Peers(setting, rgb)
    candidates = make.ours(lambda backend: lambda image: fastcolor.histogram(image, cells, backend=backend))
    candidates += [
        make.torch("torch eager", lambda p: p.histogram(cells)),
        make.torch("torch.compile + bincount", lambda p: p.histogram_compiled(cells)),
    ]
    if make.where.gpu:
        candidates.append(make.cupy("CuPy, fused + bincount", lambda p: p.histogram_fused(cells)))
    else:
        eight = "chroma rounded to 8 bits before it is counted"
        edges = "float32 rounding at the edges of the cells"
        candidates += [
            make.numpy("numpy", lambda p: p.histogram(cells, rows=len(rgb))),
            make.numpy("numpy, blocked", lambda p: p.histogram(cells)),
            make.numpy("numpy, 32-MB table", lambda p: p.histogram(cells, table=_cells_of_all_colors(cells))),
            make.other("OpenCV calcHist", "cv2", other.histogram_opencv, cells, inexact=eight),
            make.other("OpenCV calcHist, float32", "cv2", other.histogram_opencv_float, cells, inexact=edges),
        ]
    check = compare.equal(reference.histogram(rgb, cells))
    return size.case("histogram", image(size), traffic.histogram(size.pixels, cells), check, candidates)


def _cells_of_all_colors(cells: int) -> np.ndarray:
    rgb, p = arrays.all_colors(), arrays.Arrays(np)
    parts = [p.cells(rgb[i : i + 64], cells)[0].astype(np.uint16) for i in range(0, len(rgb), 64)]
    return np.concatenate(parts).reshape(-1)
