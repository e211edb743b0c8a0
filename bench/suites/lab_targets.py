"""Suites ``encode_lab`` and ``encode_soft``: photographs to labels, hard or soft, of the 313 bins of Zhang et al."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from .. import bytes as traffic
from ..cases import Candidate, Case, Check, Setting
from ..peers import arrays, lab
from ..peers.registry import Peers
from . import compare, inputs
from .encode import all_colors, image
from .sizes import Size, sizes

LAM = 0.5  # as everyone has it whose bins these are
NEIGHBORS, SIGMA = 5, 5.0
LABEL_BYTES = 2
ROWS = slice(None, None, 37)  # as in the suites of decoding
PART = 16  # one row in so many is a slow peer's
LUMA = 1e-4  # of 100: float32
AWAY, SHARES = 5.8e-4, 1.6e-4  # of a distance in ab, and of a share: what float32 may be off (tests/dropin/inputs.py)


def encode_lab(setting: Setting) -> Iterator[Case]:
    """Hard labels; the last row of the photograph is what float32 gets wrong, if anything."""
    for size in sizes(setting, "uint8 photo"):
        yield _encode(setting, size)
    if setting.plain and not setting.quick:
        yield all_colors(setting, "encode_lab", inputs.zhang(), _ours, LABEL_BYTES)


def _ours(backend: str) -> Callable[[Any], Any]:
    return lambda rgb: fastcolor.encode(rgb, inputs.zhang(), lam=LAM, backend=backend)


def _encode(setting: Setting, size: Size) -> Case:
    bins = inputs.zhang()
    rgb, weights = _photo(setting, size), bins.weights(LAM)
    make, crop = Peers(setting, rgb), _crop(rgb)
    float32 = "float32 rounding at the edges of the cells"
    candidates = [
        *make.ours(_ours),
        make.other("numpy, float64", "numpy", lab.encode_grid, bins, weights, lab.to_lab),
        make.other("numpy, float64, blocked", "numpy", lab.encode_grid, bins, weights, lab.to_lab, arrays.ROWS),
        make.other("scikit-image rgb2lab", "skimage", lab.encode_grid, bins, weights, lab.to_lab_skimage, slow=True),
        make.other(
            "OpenCV float32 Lab",
            "cv2",
            lab.encode_grid,
            bins,
            weights,
            lab.to_lab_opencv,
            arrays.ROWS,
            inexact="another gamma and cube root: 1.6 % of all colors",
        ),
        torch_peer(make, "torch.compile, float32", lambda p: p.encode(bins, weights), "compiled", inexact=float32),
        torch_peer(make, "torch.compile, float64", lambda p: p.encode(bins, weights, p.torch.float64), "compiled"),
        _of_crop("scipy cKDTree", lambda: lab.encode_tree(crop, bins, weights, setting.threads), _check(crop)),
    ]
    return size.case("encode_lab", image(size), traffic.encode(size.pixels, LABEL_BYTES), _check(rgb), candidates)


def torch_peer(
    make: Peers, name: str, build: Callable[[Any], Callable[..., Any]], mode: str = "eager", **options: Any
) -> Candidate:
    """One of :mod:`bench.peers.lab_torch`, which is imported when it is made."""

    def of_module(_: Any) -> Callable[..., Any]:
        from ..peers import lab_torch

        return build(lab_torch)

    return make.torch(name, of_module, mode, **options)


def _photo(setting: Setting, size: Size) -> np.ndarray:
    """The photograph; but for its last row, whose colors lie closest of all to the edges of cells."""
    rgb = inputs.photo(size.height, size.width)
    if not setting.quick:
        rgb = rgb.copy()
        rgb[-1] = _at_the_edges(size.width)
    return rgb


@lru_cache(maxsize=1)
def _at_the_edges(count: int) -> np.ndarray:
    """The uint8 colors that lie closest to the edge of a cell of ten: (count, 3)."""
    found, distances = np.empty((0, 3), np.uint8), np.empty(0)
    for rows in np.split(arrays.all_colors(), 256):
        colors = rows.reshape(-1, 3)
        ab = lab.to_lab(colors)[:, 1:] / lab.CELL - 0.5
        away = np.abs(ab - np.rint(ab)).min(axis=-1)
        nearest = np.argpartition(away, count)[:count]
        found, distances = np.concatenate([found, colors[nearest]]), np.concatenate([distances, away[nearest]])
        kept = np.argsort(distances, kind="stable")[:count]
        found, distances = found[kept], distances[kept]
    return found


def _crop(rgb: np.ndarray) -> np.ndarray:
    """The middle rows of an image, for peers that take seconds a megapixel."""
    return rgb[len(rgb) // 2 :][: len(rgb) // PART]


def _of_crop(name: str, make: Callable[[], Any], check: Check) -> Candidate:
    return Candidate(name, make, ("scipy",), share=1 / PART, slow=True, check=check)


def _check(rgb: np.ndarray) -> Check:
    """Labels equal; L and weight to float32 rounding."""
    luma, labels, weights = reference.encode(rgb, inputs.zhang(), lam=LAM)
    return compare.every(
        [
            compare.equal(labels, compare.part(1)),
            compare.close(luma, absolute=LUMA, pick=compare.part(0)),
            compare.close(weights, relative=1e-6, pick=compare.part(2)),
        ]
    )


def encode_soft(setting: Setting) -> Iterator[Case]:
    """Soft targets: 5 of the 313, and their shares."""
    for size in sizes(setting, "uint8 photo"):
        yield _soft(setting, size)


def _soft(setting: Setting, size: Size) -> Case:
    bins, rgb = inputs.zhang(), inputs.photo(size.height, size.width)
    options = bins, bins.weights(LAM), NEIGHBORS, SIGMA
    crop = _crop(rgb)
    make, of_crop = Peers(setting, rgb), Peers(setting, crop)

    def ours(backend: str) -> Callable[[Any], Any]:
        return lambda rgb: fastcolor.encode_soft(rgb, bins, neighbors=NEIGHBORS, sigma=SIGMA, lam=LAM, backend=backend)

    slow: dict[str, Any] = {"share": 1 / PART, "slow": True, "check": _soft_check(crop)}
    candidates = [
        *make.ours(ours),
        _of_crop("scipy cKDTree", lambda: lab.soft_tree(crop, *options, setting.threads), _soft_check(crop)),
        torch_peer(of_crop, "torch cdist + topk", lambda p: p.soft_cdist(*options), **slow),
        torch_peer(of_crop, "torch.compile, 25 cells + topk", lambda p: p.soft_window(*options), "compiled", **slow),
    ]
    moved = traffic.encode_soft(size.pixels, NEIGHBORS, LABEL_BYTES)
    return size.case("encode_soft", image(size), moved, _soft_check(rgb), candidates)


def _soft_check(rgb: np.ndarray) -> Check:
    """On a sample of rows: shares to float32 rounding, and how far the bins are; of two as far either may be first."""
    part, colors = rgb[ROWS], inputs.zhang().colors
    luma, labels, shares, weights = reference.encode_soft(
        part, inputs.zhang(), neighbors=NEIGHBORS, sigma=SIGMA, lam=LAM
    )
    ab = reference.rgb_to_lab(part)[..., 1:]

    def away(labels: np.ndarray) -> np.ndarray:
        distances: np.ndarray = np.linalg.norm(ab - colors[labels], axis=-1)
        return distances

    return compare.every(
        [
            compare.close(shares, absolute=SHARES, pick=compare.part(2, _planes)),
            compare.close(away(labels), absolute=2 * AWAY, pick=compare.part(1, lambda answer: away(_planes(answer)))),
            compare.close(luma, absolute=LUMA, pick=compare.part(0, _rows)),
            compare.close(weights, relative=1e-6, pick=compare.part(3, _rows)),
        ]
    )


def _rows(answer: Any) -> np.ndarray:
    return np.asarray(answer)[ROWS]


def _planes(answer: Any) -> np.ndarray:
    return np.asarray(answer)[:, ROWS]
