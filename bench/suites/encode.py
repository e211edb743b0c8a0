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
from ..measure import device
from ..peers import numpy as peers_numpy
from ..peers import other as peers_other
from ..peers.registry import Peers
from . import compare, inputs
from .sizes import Size, sizes

LAM = 0.2
NEAREST = "nearest color of a bin, which is another partition than the cells"


def encode(setting: Setting) -> Iterator[Case]:
    """Photographs to luma, labels and weights."""
    for size in sizes(setting, "uint8 photo"):
        yield _encode(setting, size)
    if setting.threads == 1 and setting.malloc == "default" and not setting.quick:
        yield _all_colors(setting)


def _encode(setting: Setting, size: Size) -> Case:
    bins = inputs.bins()
    rgb, weights = inputs.photo(size.height, size.width), bins.weights(LAM)
    make = Peers(setting, device.place(setting.device).put(rgb))
    candidates = make.ours(_ours, second=True) + (make.ours_on_cupy(_ours) if size.main or size.host else [])
    candidates += [
        make.torch("torch eager", lambda p: p.encode(bins, weights)),
        make.torch("torch.compile", lambda p: p.encode(bins, weights), "compiled"),
        make.torch(
            "torch.compile, 16-MB table", lambda p: p.encode_all_colors(_labels_of_all_colors(), weights), "compiled"
        ),
    ]
    if make.where.gpu:
        candidates += [
            make.cupy("CuPy", lambda p, xp: p.encode(xp, bins, weights)),
            make.cupy("CuPy, fused", lambda p, xp: p.encode(xp, bins, weights, fused=True)),
            make.cupy("CuPy, 16-MB table", lambda p, xp: p.encode_all_colors(xp, _labels_of_all_colors(), weights)),
        ]
    else:
        candidates += _cpu_peers(setting, rgb, make)
    return Case(
        suite="encode",
        name=size.name,
        shape=f"{size.height}x{size.width}x3",
        dtype="uint8",
        layout="channels-last",
        pixels=size.pixels,
        traffic=traffic.encode(size.pixels),
        check=_check(rgb),
        main=size.main,
        host=size.host,
        candidates=tuple(candidates),
    )


def _ours(backend: str) -> Callable[[Any], Any]:
    return lambda rgb: fastcolor.encode(rgb, inputs.bins(), lam=LAM, backend=backend)


def _cpu_peers(setting: Setting, rgb: np.ndarray, make: Peers) -> list[Candidate]:
    bins, other, numpy = inputs.bins(), peers_other, peers_numpy
    weights, rows = bins.weights(LAM), len(rgb) // 32
    crop = rgb[len(rgb) // 2 :][:rows]  # the dictionary look-up takes half a second a megapixel
    return [
        make.numpy("numpy", lambda: numpy.encode(bins, weights)),
        make.numpy("numpy, blocked", lambda: numpy.by_rows(numpy.encode(bins, weights))),
        make.numpy(
            "numpy, 16-MB table", lambda: numpy.by_rows(numpy.encode_all_colors(_labels_of_all_colors(), weights))
        ),
        Candidate(
            "sklearn NearestNeighbors",
            lambda: other.encode_sklearn(rgb, bins, weights, setting.threads),
            ("sklearn",),
            inexact=NEAREST,
        ),
        Candidate(
            "scipy cKDTree",
            lambda: other.encode_kdtree(rgb, bins, weights, setting.threads),
            ("scipy",),
            inexact=NEAREST,
        ),
        Candidate(
            "scikit-image rgb2yuv",
            lambda: other.encode_skimage(rgb, bins, weights),
            ("skimage",),
            slow=True,
            inexact="float64 rounding at the edges of the cells",
        ),
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
    labels = peers_numpy.by_rows(peers_numpy.encode(bins, bins.weights(LAM)))(peers_numpy.all_colors())[1]
    return np.ascontiguousarray(labels).reshape(-1)


def _all_colors(setting: Setting) -> Case:
    """Every uint8 color once: how many labels differ from the reference."""
    bins, rgb = inputs.bins(), peers_numpy.all_colors()
    make = Peers(setting, device.place(setting.device).put(rgb))

    def check(answer: Any) -> Verdict:
        labels = np.asarray(answer[1])
        wrong = sum(
            int((labels[i : i + 256] != reference.encode(rgb[i : i + 256], bins)[1]).sum()) for i in range(0, 4096, 256)
        )
        return Verdict(wrong == 0, wrong / labels.size, float(wrong), "labels of all 2^24 colors equal")

    return Case(
        suite="encode",
        name="all 2^24 colors",
        shape="4096x4096x3",
        dtype="uint8",
        layout="channels-last",
        pixels=1 << 24,
        traffic=traffic.encode(1 << 24),
        check=check,
        candidates=tuple(make.ours(_ours, second=True)),
    )


def histogram(setting: Setting) -> Iterator[Case]:
    """Photographs to K x K counts."""
    for size in sizes(setting, "uint8 photo"):
        yield _histogram(setting, size)


def _histogram(setting: Setting, size: Size) -> Case:
    rgb, cells = inputs.photo(size.height, size.width), inputs.bins().cells
    make = Peers(setting, device.place(setting.device).put(rgb))
    candidates = make.ours(lambda backend: lambda image: fastcolor.histogram(image, cells, backend=backend))
    candidates += [
        make.torch("torch eager", lambda p: p.histogram(cells)),
        make.torch("torch.compile + bincount", lambda p: p.histogram_compiled(cells)),
    ]
    if make.where.gpu:
        candidates.append(make.cupy("CuPy, fused + bincount", lambda p, xp: p.histogram(xp, cells)))
    else:
        candidates += _cpu_counters(rgb, cells, make)
    return Case(
        suite="histogram",
        name=size.name,
        shape=f"{size.height}x{size.width}x3",
        dtype="uint8",
        layout="channels-last",
        pixels=size.pixels,
        traffic=traffic.histogram(size.pixels, cells),
        check=compare.equal(reference.histogram(rgb, cells)),
        main=size.main,
        host=size.host,
        candidates=tuple(candidates),
    )


def _cpu_counters(rgb: np.ndarray, cells: int, make: Peers) -> list[Candidate]:
    numpy = peers_numpy
    return [
        make.numpy("numpy", lambda: numpy.histogram(cells, rows=len(rgb))),
        make.numpy("numpy, blocked", lambda: numpy.histogram(cells)),
        make.numpy("numpy, 32-MB table", lambda: numpy.histogram_all_colors(_cells_of_all_colors(cells), cells)),
        Candidate(
            "OpenCV calcHist",
            lambda: peers_other.histogram_opencv(rgb, cells),
            ("cv2",),
            inexact="chroma rounded to 8 bits before it is counted",
        ),
        Candidate(
            "OpenCV calcHist, float32",
            lambda: peers_other.histogram_opencv_float(rgb, cells),
            ("cv2",),
            inexact="float32 rounding at the edges of the cells",
        ),
    ]


def _cells_of_all_colors(cells: int) -> np.ndarray:
    rgb = peers_numpy.all_colors()
    parts = [peers_numpy._cells(rgb[i : i + 64], cells)[0].astype(np.uint16) for i in range(0, len(rgb), 64)]
    return np.concatenate(parts).reshape(-1)
