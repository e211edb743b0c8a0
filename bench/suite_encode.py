"""Suites ``encode`` and ``histogram``: uint8 photographs to labels, and to counts of cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from . import bytes as traffic
from . import compare, inputs, peers_numpy, peers_other
from .cases import Candidate, Case, Check, Run, Setting, Verdict

LAM = 0.2
NEAREST = "nearest color of a bin, which is another partition than the cells"


def encode(setting: Setting) -> Iterator[Case]:
    """One photograph to luma, labels and weights."""
    side = 512 if setting.quick else 1024
    rgb, bins = inputs.photo(side, side), inputs.bins()
    weights = bins.weights(LAM)
    crop = rgb[side // 2 : side // 2 + side // 32]  # the dictionary look-up takes half a second a megapixel
    check = _check(rgb)

    def torch_peer(kind: str) -> Run:
        from . import peers_torch as p

        image = p.tensor(rgb)
        if kind == "table":
            return p.compiled(p.encode_all_colors(_labels_of_all_colors(bins), weights), image)
        return (p.eager if kind == "eager" else p.compiled)(p.encode(bins, weights), image)

    def numpy_peer(kind: str) -> Run:
        whole = peers_numpy.encode(bins, weights)
        if kind == "table":
            whole = peers_numpy.encode_all_colors(_labels_of_all_colors(bins), weights)
        function = whole if kind == "whole" else peers_numpy.by_rows(whole)
        return lambda: function(rgb)

    other = peers_other
    yield Case(
        suite="encode",
        name="uint8 photo",
        shape=f"{side}x{side}x3",
        dtype="uint8",
        layout="channels-last",
        pixels=side * side,
        traffic=traffic.encode(side * side),
        check=check,
        main=True,
        candidates=(
            Candidate("fastcolor", lambda: lambda: fastcolor.encode(rgb, bins, lam=LAM), ours=True),
            Candidate("numpy", lambda: numpy_peer("whole")),
            Candidate("numpy, blocked", lambda: numpy_peer("blocked")),
            Candidate("numpy, 16-MB table", lambda: numpy_peer("table")),
            Candidate("torch eager", lambda: torch_peer("eager"), ("torch",)),
            Candidate("torch.compile", lambda: torch_peer("compiled"), ("torch",)),
            Candidate("torch.compile, 16-MB table", lambda: torch_peer("table"), ("torch",)),
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
                share=len(crop) / side,
                slow=True,
                check=_check(crop),
            ),
        ),
    )
    if setting.threads == 1 and setting.malloc == "default" and not setting.quick:
        yield _all_colors(bins)


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


def _labels_of_all_colors(bins: Any) -> np.ndarray:
    labels = peers_numpy.by_rows(peers_numpy.encode(bins, bins.weights(LAM)))(peers_numpy.all_colors())[1]
    return np.ascontiguousarray(labels).reshape(-1)


def _all_colors(bins: Any) -> Case:
    """Every uint8 color once: how many labels differ from the reference."""
    rgb = peers_numpy.all_colors()

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
        candidates=(Candidate("fastcolor", lambda: lambda: fastcolor.encode(rgb, bins, lam=LAM), ours=True),),
    )


def histogram(setting: Setting) -> Iterator[Case]:
    """One photograph to K x K counts."""
    side = 512 if setting.quick else 1024
    rgb, cells = inputs.photo(side, side), inputs.bins().cells

    def torch_peer(compiled: bool) -> Run:
        from . import peers_torch as p

        return p.eager(p.histogram_compiled(cells) if compiled else p.histogram(cells), p.tensor(rgb))

    def numpy_peer(kind: str) -> Run:
        function = peers_numpy.histogram(cells, rows=side if kind == "whole" else peers_numpy.ROWS)
        if kind == "table":
            function = peers_numpy.histogram_all_colors(_cells_of_all_colors(cells), cells)
        return lambda: function(rgb)

    yield Case(
        suite="histogram",
        name="uint8 photo",
        shape=f"{side}x{side}x3",
        dtype="uint8",
        layout="channels-last",
        pixels=side * side,
        traffic=traffic.histogram(side * side, cells),
        check=compare.equal(reference.histogram(rgb, cells)),
        main=True,
        candidates=(
            Candidate("fastcolor", lambda: lambda: fastcolor.histogram(rgb, cells), ours=True),
            Candidate("numpy", lambda: numpy_peer("whole")),
            Candidate("numpy, blocked", lambda: numpy_peer("blocked")),
            Candidate("numpy, 32-MB table", lambda: numpy_peer("table")),
            Candidate("torch eager", lambda: torch_peer(False), ("torch",)),
            Candidate("torch.compile + bincount", lambda: torch_peer(True), ("torch",)),
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
        ),
    )


def _cells_of_all_colors(cells: int) -> np.ndarray:
    rgb = peers_numpy.all_colors()
    parts = [peers_numpy._cells(rgb[i : i + 64], cells)[0].astype(np.uint16) for i in range(0, len(rgb), 64)]
    return np.concatenate(parts).reshape(-1)
