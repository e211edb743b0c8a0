"""Run by test_numba_cuda in Numba's simulator: faults planted in the kernels must not pass; and what the suite of the
public operations does not reach with images of 64 pixels: several blocks, Lab, probabilities, many bins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
import torch
from compare_lab import assert_lab_rgb_close
from compare_probabilities import assert_mean_of_probabilities, make_probabilities
from fastcolor.kernels.numba_cuda import device, ops
from fastcolor.reference.bins import as_table

import fastcolor
from fastcolor import reference

SHAPE = (3, 100)  # two blocks
LIBDEVICE = compare.arithmetic_of("numba-cuda")


def lab_bins(n: int) -> reference.ColorBins:
    """Any table, and colors anywhere in the plane of a and b, the last of which coincides with the first."""
    rng = np.random.default_rng(n)
    colors = rng.uniform(-100, 100, (n, 2)).astype(np.float32)
    colors[-1] = colors[0]
    table = as_table(rng.integers(0, n, (23, 23)), n)
    return reference.ColorBins(table, colors, rng.dirichlet(np.ones(n)), space="lab")


# --- checks -----------------------------------------------------------------------------------------------------------


def check_decode() -> None:
    """Logits that lie far from zero."""
    rng = np.random.default_rng(0)
    bins, logits = make.make_bins(rng, 9, 17), make.make_logits(rng, "shifted", 9, SHAPE).astype(np.float32)
    rgb, luma = np.full((3, *SHAPE), 99, np.uint8), rng.random(SHAPE, dtype=np.float32)
    ops.decode(logits, luma, bins, channel_axis=0, out=rgb)
    compare.assert_decoded(rgb, logits, luma, bins, temperature=0.38, channel_axis=0)


def check_chroma(dtype: str = "bfloat16") -> None:
    rng = np.random.default_rng(1)
    bins, logits = make.make_bins(rng, 9, 17), make.make_logits(rng, "shifted", 9, (3, 11))
    tensor = torch.from_numpy(logits).to(getattr(torch, dtype))
    compare.assert_chroma_close(ops.annealed_mean(tensor, bins), tensor, bins, temperature=0.38)


def check_mode(dtype: str = "float32") -> None:
    rng = np.random.default_rng(2)
    bins, ties = make.make_bins(rng, 9, 17), rng.integers(0, 3, (9, 3, 11)).astype(dtype)
    compare.assert_chroma_close(ops.annealed_mean(ties, bins, temperature=0.0), ties, bins, temperature=0.0)


def check_encode() -> None:
    rng = np.random.default_rng(3)
    bins, rgb = make.make_bins(rng, 32, 17), make.make_rgb(rng, "uniform", (300,))
    out = np.full(300, np.nan, np.float32), np.zeros(300, np.uint8), np.full(300, np.nan, np.float32)
    compare.assert_encoded(ops.encode(rgb, bins, out=out), rgb, bins, 0.2)


def check_lab() -> None:
    bins, shape = lab_bins(400), (1, 17)
    rng = np.random.default_rng(4)
    logits, light = 3 * rng.standard_normal((400, *shape), np.float32), 100 * rng.random(shape, np.float32)
    logits[:, 0, 0], light[0, 1] = np.nan, np.nan
    light[:, 9:] *= 0.1
    rgb = ops.decode(logits, light, bins, temperature=0.2)
    seen = np.moveaxis(logits.astype(np.float64), 0, -1)
    ab = reference.annealed_mean(seen, bins, temperature=0.2, axis=-1)
    assert_lab_rgb_close(rgb, light, ab, compare.chroma_bound(seen, bins, 0.2))


def check_lab_labels() -> None:
    """Dark colors, too, where f is a straight line; and more labels than a byte holds."""
    bins = lab_bins(400)
    rng = np.random.default_rng(5)
    levels = rng.integers(0, np.where(np.arange(60) % 2, 256, 12)[:, None], (60, 3)).astype(np.uint8)
    levels[0] = 0
    for rgb, dtype in ((levels, "int16"), (levels / np.float32(255), "uint16"), (levels / 255, "int64")):
        rgb = rgb if rgb.dtype == np.uint8 else np.where(np.arange(60)[:, None] == 30, np.nan, rgb)
        luma, labels, weights = ops.encode(rgb, bins, label_dtype=dtype)
        truth = reference.encode(rgb, bins)
        compare.assert_close("luma", luma, truth[0], compare.u * np.abs(truth[0]) + 1e-12)  # one rounding of float64
        np.testing.assert_array_equal(labels, truth[1])
        np.testing.assert_array_equal(weights, truth[2].astype(np.float32))


def check_probabilities(n: int = 9, temperature: float = 0.38, axis: int = 0) -> None:
    """Of any scale, with zeros among them; the first pixels are none: all zero, negative, NaN, infinite."""
    bins, p = lab_bins(n), make_probabilities(np.random.default_rng(6), "steep", n, (3, 3))
    flat = p.reshape(n, -1)
    flat[1, 4:] = 0
    flat[:, 5] *= 1e-20
    flat[:, 0], flat[n // 2, 1:4] = 0, (-1e-30, np.nan, np.inf)
    seen = np.ascontiguousarray(np.moveaxis(p.astype(np.float32), 0, axis))
    options: dict[str, Any] = {"temperature": temperature, "axis": axis}
    chroma = ops.annealed_mean(seen, bins, from_logits=False, **options)
    assert np.isnan(np.moveaxis(chroma, axis, 0)[0].ravel()).tolist() == [True] * 4 + [False] * 5
    assert_mean_of_probabilities(chroma, seen, bins, **options, arithmetic=LIBDEVICE)


def check_many() -> None:
    check_probabilities(1024, axis=-1)


def check_surest() -> None:
    check_probabilities(temperature=0.0, axis=-1)


CHECKS = (
    *(check_decode, check_chroma, check_mode, check_encode, check_lab, check_lab_labels),
    *(check_probabilities, check_many, check_surest),
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_kernels_are_right(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("check", [check_decode, check_chroma, check_encode])
def test_blocks_without_a_pixel_do_nothing(check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "LEAST_BLOCKS", 4)
    check()


# --- planted faults ---------------------------------------------------------------------------------------------------


def fewer_pixels(launch: Any, kernel: Any, stream: Any, pixels: int, *args: Any) -> None:
    launch(kernel, stream, pixels - 45, *args)  # one block less


def other_table(there: Any, values: Any, like: Any) -> Any:
    return there((values + 1) % 32 if values.shape == (17, 17) else values, like)


def of_a_byte(there: Any, values: Any, like: Any) -> Any:
    return there(values.astype(np.uint8) if values.dtype == np.uint16 else values, like)


def truncated(store: Any, out: Any, at: Any, value: Any, bfloat16: Any) -> None:
    out[at] = np.float32(value).view(np.uint32) >> 16


# What takes the place of a function of ops, and gets that function first.
FAULTS: dict[str, tuple[str, Callable[..., Any], Callable[[], None]]] = {
    "bins in the wrong order": ("there", lambda f, values, like: f(values[::-1], like), check_decode),
    "no maximum subtracted": ("below", lambda f, value, top, from_logits: value, check_decode),
    "pixels shifted by one": ("channel_zero", lambda f, pixel, *of: f((pixel + 1) % 300, *of), check_decode),
    "a block of decode missing": ("launch", fewer_pixels, check_decode),
    "a block of encode missing": ("launch", fewer_pixels, check_encode),
    "labels off by one": ("there", other_table, check_encode),
    "a softmax for the mode": ("log2_scale", lambda f, *of: np.float32(1e6), check_mode),
    "truncated bfloat16": ("store", truncated, check_chroma),
    "Lab joined as YUV": ("from_lab", lambda f, *color: ops.from_yuv(*color), check_lab),
    "no straight line back": ("unbent", lambda f, x: x * x * x, check_lab),
    "no straight line": ("bent", lambda f, t: t ** (1 / 3), check_lab_labels),
    "gamma left in the levels": ("linear", lambda f, channel: channel, check_lab_labels),
    "labels of a byte": ("there", of_a_byte, check_lab_labels),
    "probabilities are logits": ("below", lambda f, value, top, _: value - top, check_probabilities),
    "no NaN where nothing is sure": ("below", lambda f, *of: np.nan_to_num(f(*of)), check_surest),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_does_not_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced, by, check = FAULTS[name]
    original = getattr(ops, replaced)
    monkeypatch.setattr(ops, replaced, lambda *args: by(original, *args))
    with pytest.raises(AssertionError):
        check()


def test_the_real_backend_is_not_simulated() -> None:
    assert "NUMBA_ENABLE_CUDASIM" in fastcolor.backends()["numba-cuda"].reason
