"""Bad calls: one row each, with the type and the words of its one clear error."""

# ruff: noqa: E501  # a table: rows that are cut in pieces are harder to compare

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies as make
import torch
from fastcolor.kernels import registry
from hypothesis import given
from hypothesis import strategies as st

import fastcolor
from fastcolor import TemporalSmoother, annealed_mean, confidence, decode, encode, encode_soft, histogram, merge
from fastcolor.arrays import kinds
from fastcolor.commands import main as cli

N = 8
BINS = make.make_bins(np.random.default_rng(0), N, 5)
RGB = np.zeros((4, 6, 3), np.uint8)
X = np.zeros((N, 4, 6), np.float32)
LUMA = np.zeros((4, 6), np.float32)
CHROMA = np.zeros((2, 2, 3), np.float32)
T_X, T_LUMA = torch.zeros(N, 4, 6), torch.zeros(4, 6)
META = torch.zeros(N, 4, 6, device="meta")
GRAD = torch.zeros(N, 4, 6, requires_grad=True)
LISTS = [[[0.0]]] * N
nan, inf = math.nan, math.inf


def read_only(array: Any) -> Any:
    array = array.copy()
    array.setflags(write=False)
    return array


def writable_broadcast(shape: tuple[int, ...], dtype: Any) -> Any:
    """What broadcast_to gives, but writable."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, (0,) * len(shape), writeable=True)


def smoother(**options: Any) -> TemporalSmoother:
    return TemporalSmoother(BINS, **options)


def started() -> TemporalSmoother:
    one = smoother()
    one.step(X, LUMA)
    return one


LAB = fastcolor.ColorBins.from_centers([[0, 0], [40, 20], [-40, 20]])
LAB_X, GRAY = X[:3], (255 * LUMA).astype(np.uint8)


class Halved:
    """Bins, but for what most of it is."""

    table, colors = BINS.table, BINS.colors


def bins_with(**fields: Any) -> fastcolor.ColorBins:
    good = {"table": BINS.table, "colors": BINS.colors, "prior": BINS.prior}
    return fastcolor.ColorBins(**{**good, **fields})


# (name, call, exception, pattern that the message must match: the argument, what was expected, what came)
BAD_CALLS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    # wrong shape
    ("rgb without three channels", lambda: encode(RGB[..., :2], BINS), ValueError,
     r"^rgb: expected size 3 on channel_axis -1, got shape \(4, 6, 2\)"),
    ("rgb planar", lambda: encode(RGB.transpose(2, 0, 1), BINS), ValueError,
     r"^rgb: expected size 3 on channel_axis -1, got shape \(3, 4, 6\); is this channel_axis=-3\?"),
    ("rgb without dimensions", lambda: encode(np.uint8(3)[...], BINS), ValueError, r"^rgb: expected at least 1 dim"),
    ("channel_axis out of range", lambda: encode(RGB, BINS, channel_axis=3), ValueError,
     r"^channel_axis: expected an axis of an array with 3 dimensions, got 3"),
    ("channel_axis no integer", lambda: encode(RGB, BINS, channel_axis=1.0), ValueError, r"^channel_axis: .* got 1\.0"),
    ("histogram of planar rgb", lambda: histogram(RGB.transpose(2, 0, 1), 5), ValueError,
     r"^rgb: expected size 3 .* is this channel_axis=-3\?"),
    ("bins on another axis", lambda: annealed_mean(X.transpose(1, 2, 0), BINS), ValueError,
     r"^logits: expected size 8 on axis -3, got shape \(4, 6, 8\); is this axis=-1\?"),
    ("n mismatch", lambda: annealed_mean(X[:5], BINS), ValueError,
     r"^logits: expected size 8 on axis -3, got shape \(5, 4, 6\)"),
    ("decode n mismatch", lambda: decode(X[:5], LUMA, BINS), ValueError, r"^logits: expected size 8 on axis -3, got"),
    ("smoother n mismatch", lambda: smoother().step(X[:5], LUMA), ValueError, r"^logits: expected size 8 .* got"),
    ("axis out of range", lambda: annealed_mean(X, BINS, axis=-4), ValueError,
     r"^axis: expected an axis of an array with 3 dimensions, got -4"),
    ("logits without dimensions", lambda: confidence(np.float32(3)[...]), ValueError, r"^axis: expected .* got -3"),
    ("no bins at all", lambda: confidence(X[:0]), ValueError,
     r"^logits: expected 1 to 1024 bins on axis -3, got \(0, 4, 6\)"),
    ("too many bins", lambda: confidence(np.zeros((1025, 1, 1), np.float32)), ValueError,
     r"^logits: expected 1 to 1024 bins on axis -3, got \(1025, 1, 1\)"),
    ("luma transposed", lambda: decode(X, LUMA.T, BINS), ValueError,
     r"^luma: expected shape \(4, 6\), got \(6, 4\); it must be the shape of logits without the bins, or larger"),
    ("luma of fewer pixels than logits", lambda: decode(X, LUMA[:2, :3], BINS), ValueError,
     r"^luma: expected shape \(4, 6\), got \(2, 3\)"),
    ("luma with a channel", lambda: decode(X, LUMA[..., None], BINS), ValueError, r"^luma: expected shape \(4, 6\), got"),
    ("decode channel_axis", lambda: decode(X, LUMA, BINS, channel_axis=3), ValueError, r"^channel_axis: expected .* got 3"),
    ("chroma of three channels", lambda: merge(np.zeros((3, 2, 2), np.float32), LUMA), ValueError,
     r"^chroma: expected size 2 on axis -3, got shape \(3, 2, 2\)"),
    ("chroma last", lambda: merge(np.zeros((5, 6, 2), np.float32), LUMA), ValueError,
     r"^chroma: expected size 2 .* is this axis=-1\?"),
    ("chroma of two dimensions", lambda: merge(CHROMA[0], LUMA), ValueError, r"^chroma: expected at least 3 dim.* got shape \(2, 3\)"),
    ("chroma without samples", lambda: merge(CHROMA[:, :0], LUMA), ValueError,
     r"^chroma: expected at least one sample, got shape \(2, 0, 3\)"),
    ("luma of three dimensions", lambda: merge(CHROMA, LUMA[None]), ValueError, r"^chroma: expected as many images as luma has, \(1,\), got \(\)"),
    ("smoother batch", lambda: smoother().step(X[None], LUMA[None]), ValueError, r"^logits: expected 3 dim.* got shape"),
    ("smoother luma", lambda: smoother().step(X, LUMA[:3]), ValueError, r"^luma: expected shape \(4, 6\), got \(3, 6\)"),
    ("smoother new shape", lambda: started().step(X[:, :3], LUMA[:3]), ValueError,
     r"^logits: expected shape \(8, 4, 6\), got \(8, 3, 6\); frames must not change their shape; reset\(\)"),
    # wrong dtype
    ("rgb int", lambda: encode(RGB.astype(np.int32), BINS), TypeError,
     r"^rgb: expected dtype uint8, float32, float64, got int32; uint8 means 0..255, floats mean 0..1"),
    ("rgb float16", lambda: encode(RGB.astype(np.float16), BINS), TypeError, r"^rgb: expected dtype .* got float16"),
    ("rgb bool", lambda: histogram(RGB > 0, 5), TypeError, r"^rgb: expected dtype .* got bool"),
    ("rgb complex", lambda: encode(RGB.astype(complex), BINS), TypeError, r"^rgb: expected dtype .* got complex128"),
    ("rgb objects", lambda: encode(RGB.astype(object), BINS), TypeError, r"^rgb: expected dtype .* got object"),
    ("logits int", lambda: annealed_mean(X.astype(int), BINS), TypeError,
     r"^logits: expected dtype float16, bfloat16, float32, float64, got int64; cast it first"),
    ("logits longdouble", lambda: confidence(X.astype(np.longdouble)), TypeError, r"^logits: expected dtype .* got"),
    ("logits uint16", lambda: decode(X.astype(np.uint16), LUMA, BINS), TypeError, r"^logits: expected dtype .* got uint16"),
    ("logits float8", lambda: annealed_mean(T_X.to(torch.float8_e4m3fn), BINS), TypeError,
     r"^logits: expected dtype .* got float8_e4m3fn"),
    ("luma int", lambda: decode(X, LUMA.astype(int), BINS), TypeError, r"^luma: expected dtype uint8, float16, bfloat16, float32, float64, got"),
    ("luma int in merge", lambda: merge(CHROMA, LUMA.astype(int)), TypeError, r"^luma: expected dtype .* got int64"),
    ("luma uint8 for Lab", lambda: merge(CHROMA, GRAY, space="lab"), TypeError,
     r"^luma: expected floats in \[0, 100\] for bins of Lab, got uint8; encode gives L of an image"),
    ("luma uint8 with bins of Lab", lambda: decode(LAB_X, GRAY, LAB), TypeError, r"^luma: expected floats in \[0, 100\]"),
    # ranges
    ("rgb beyond one", lambda: encode(np.full((4, 6, 3), 200.0), BINS), ValueError, r"^rgb: expected values in \[0, 1\]"),
    ("rgb beyond one for Lab", lambda: encode(np.full((4, 6, 3), 1.01), LAB), ValueError, r"^rgb: expected values in"),
    ("rgb beyond one, soft", lambda: fastcolor.encode_soft(np.full((4, 6, 3), -0.1), LAB, neighbors=1), ValueError,
     r"^rgb: expected"),
    ("rgb beyond one in histogram", lambda: histogram(np.full((4, 6, 3), inf), 5), ValueError, r"^rgb: expected values"),
    ("luma of 255 levels as floats", lambda: decode(X, LUMA + 255, BINS), ValueError, r"^luma: expected values in \[0, 1\]"),
    ("luma inf", lambda: merge(CHROMA, LUMA + inf), ValueError, r"^luma: expected values in \[0, 1\]"),
    ("luma -inf", lambda: merge(CHROMA, LUMA - inf), ValueError, r"^luma: expected values in \[0, 1\]"),
    ("L beyond 100", lambda: decode(LAB_X, LUMA + 101, LAB), ValueError, r"^luma: expected values in \[0, 100\]"),
    ("L of the smoother", lambda: TemporalSmoother(LAB).step(LAB_X, LUMA + 101), ValueError,
     r"^luma: expected values in \[0, 100\]"),
    ("ab given as UV", lambda: merge(CHROMA + 40, LUMA), ValueError, r"^chroma.*: expected values in"),
    ("ab out of its range", lambda: merge(CHROMA + 140, 50 * LUMA, space="lab"), ValueError, r"^chroma.*: expected values"),
    ("check_range", lambda: fastcolor.check_range(LUMA - 1, "luma"), ValueError, r"^luma: expected values in \[0, 1\]"),
    ("check_range of what", lambda: fastcolor.check_range(LUMA, "weights"), ValueError, r"^what: expected one of 'rgb', "),
    ("check_range of chroma", lambda: fastcolor.check_range(CHROMA + 1, "chroma"), ValueError, r"^chroma, u: expected"),
    # soft targets
    ("no neighbor", lambda: fastcolor.encode_soft(RGB, LAB, neighbors=0), ValueError,
     r"^neighbors: expected an integer in 1..3, got 0"),
    ("more neighbors than bins", lambda: fastcolor.encode_soft(RGB, LAB, neighbors=4), ValueError, r"^neighbors: .* got 4"),
    ("sigma zero", lambda: fastcolor.encode_soft(RGB, LAB, neighbors=2, sigma=0), ValueError,
     r"^sigma: expected a finite number > 0, got 0"),
    ("weighting", lambda: fastcolor.encode_soft(RGB, LAB, neighbors=2, weighting="sum"), ValueError,
     r"^weighting: expected one of 'nearest', 'mean', got 'sum'"),
    ("soft axis of one dimension", lambda: fastcolor.encode_soft(RGB[0], LAB, neighbors=2), ValueError,
     r"^axis: expected an axis of an array with 2 dimensions, got -3"),
    ("chroma int", lambda: merge(CHROMA.astype(int), LUMA), TypeError, r"^chroma: expected dtype .* got int64"),
    ("smoother luma int", lambda: smoother().step(X, LUMA.astype(int)), TypeError, r"^luma: expected dtype .* got int64"),
    ("fit on floats", lambda: fastcolor.ColorBins.fit(RGB / 255.0, n=1), TypeError,
     r"^images: expected dtype uint8, got float64"),
    # no array, or arrays of two libraries or devices
    ("rgb list", lambda: encode(RGB.tolist(), BINS), TypeError,
     r"^rgb: expected a NumPy array, a torch tensor or a CuPy array, got list"),
    ("logits list", lambda: annealed_mean(LISTS, BINS), TypeError, r"^logits: expected a NumPy array, .* got list"),
    ("logits None", lambda: confidence(None), TypeError, r"^logits: expected a NumPy array, .* got NoneType"),
    ("luma scalar", lambda: decode(X, 0.5, BINS), TypeError, r"^luma: expected a NumPy array, .* got float"),
    ("torch and NumPy", lambda: decode(T_X, LUMA, BINS), TypeError,
     r"^luma: expected the same kind of array as logits \(torch\), got numpy.ndarray; convert one of them"),
    ("NumPy and torch", lambda: merge(CHROMA, T_LUMA), TypeError,
     r"^luma: expected the same kind of array as chroma \(numpy\), got torch.Tensor"),
    ("smoother kinds", lambda: smoother().step(X, T_LUMA), TypeError, r"^luma: expected the same kind of array as logits"),
    ("smoother changes kind", lambda: started().step(T_X, T_LUMA), TypeError, r"^logits: expected the same kind of array as"),
    # arrays whose elements are not all there
    ("masked", lambda: encode(np.ma.masked_equal(RGB, 0), BINS), TypeError,
     r"^rgb: expected an array without a mask, got numpy.ma.MaskedArray; filled\(...\), with NaN say, makes one"),
    ("masked luma", lambda: decode(X, np.ma.masked_array(LUMA), BINS), TypeError, r"^luma: expected an array without a mask"),
    ("masked out", lambda: annealed_mean(X, BINS, out=np.ma.masked_array(CHROMA)), TypeError, r"^out: expected an array without"),
    ("masked tensor", lambda: confidence(torch.masked.masked_tensor(T_X, T_X > 0)), TypeError,
     r"^logits: expected a tensor without a mask, got torch.*MaskedTensor; to_tensor\(...\), with NaN say, makes one"),
    ("sparse", lambda: annealed_mean(T_X.to_sparse(), BINS), TypeError,
     r"^logits: expected a tensor of layout torch.strided, and not torch.sparse_coo, got torch.Tensor; to_dense\(\) makes one"),
    ("mkldnn", lambda: smoother().step(T_X.to_mkldnn(), T_LUMA), TypeError, r"^logits: expected .* not torch._mkldnn, got"),
    ("nested", lambda: annealed_mean(torch.nested.nested_tensor([T_X, T_X]), BINS), TypeError,
     r"^logits: expected a tensor that is not nested, got torch.Tensor; torch.nested.to_padded_tensor\(...\) makes one"),
    ("meta in check_range", lambda: fastcolor.check_range(META, "luma"), ValueError,
     r"^values: expected an array whose values are there, got device 'meta'"),
    ("objects in check_range", lambda: fastcolor.check_range(LUMA.astype(object), "luma"), TypeError,
     r"^values: expected dtype .* got object"),
    ("images that are none", lambda: fastcolor.ColorBins.fit(None), TypeError, r"^images: expected a NumPy array, .* got NoneType"),
    ("colors masked", lambda: bins_with(colors=np.ma.masked_array(BINS.colors)), TypeError, r"^colors: expected .* without a mask"),
    ("colors that are none", lambda: bins_with(colors=3), ValueError, r"^colors: expected shape \(n, 2\) .* got \(\)"),
    ("colors of text", lambda: bins_with(colors="red"), TypeError, r"^colors: expected dtype .* got str"),
    ("colors ragged", lambda: bins_with(colors=[[0, 0], [0]]), TypeError, r"^colors: expected an array of numbers, got list;"),
    ("colors with a gradient", lambda: bins_with(colors=GRAD[:, 0, :2]), ValueError, r"^colors: expected a tensor without grad"),
    ("out that torch negates", lambda: annealed_mean(T_X, BINS, out=torch._neg_view(torch.zeros(2, 4, 6))), ValueError,
     r"^out: expected a tensor whose elements lie in memory, got one that torch negates, .*; pass a copy"),
    ("axis of a flag", lambda: annealed_mean(X, BINS, axis=True), ValueError, r"^axis: expected an axis .* got True"),
    ("backend of a list", lambda: encode(RGB, BINS, backend=["numba"]), ValueError, r"^backend: expected 'auto' .* got \['numba'\]"),
    ("space of an array", lambda: histogram(RGB, 5, space=np.array(["yuv", "lab"])), ValueError, r"^space: expected one of"),
    ("bins without what they need", lambda: encode(RGB, Halved()), TypeError,
     r"^bins: expected fastcolor.ColorBins, got .*Halved without prior, n, cells, weights; ColorBins.default\(\) is one"),
    ("two devices", lambda: decode(META, T_LUMA, BINS), ValueError,
     r"^luma: expected device 'meta' like logits, got 'cpu'; arrays are never moved unasked"),
    ("a device without backend", lambda: annealed_mean(META, BINS), fastcolor.BackendUnavailableError,
     r"^backend: no backend .* device 'meta'; no values are there: make the array on the device of its data"),
    ("device of another backend", lambda: annealed_mean(META, BINS, backend="numba"), fastcolor.BackendUnavailableError,
     r"^backend: no backend for 'numba' takes arrays on device 'meta'"),
    # numbers out of range
    ("temperature negative", lambda: annealed_mean(X, BINS, temperature=-0.1), ValueError,
     r"^temperature: expected a number in \[0, 1e\+30\], got -0\.1; T = 0 is the mode"),
    ("temperature NaN", lambda: decode(X, LUMA, BINS, temperature=nan), ValueError, r"^temperature: expected .* got nan"),
    ("temperature inf", lambda: annealed_mean(X, BINS, temperature=inf), ValueError, r"^temperature: expected .* got inf"),
    ("temperature text", lambda: annealed_mean(X, BINS, temperature="0.38"), TypeError,
     r"^temperature: expected a number, got str"),
    ("temperature None", lambda: decode(X, LUMA, BINS, temperature=None), TypeError, r"^temperature: .* got NoneType"),
    ("temperature bool", lambda: annealed_mean(X, BINS, temperature=True), TypeError, r"^temperature: .* got bool"),
    ("lam negative", lambda: encode(RGB, BINS, lam=-0.1), ValueError, r"^lam: expected a number in \[0, 1\], got -0\.1"),
    ("lam above one", lambda: encode(RGB, BINS, lam=1.5), ValueError, r"^lam: expected a number in \[0, 1\], got 1\.5"),
    ("lam NaN", lambda: encode(RGB, BINS, lam=nan), ValueError, r"^lam: expected a number in \[0, 1\], got nan"),
    ("lam text", lambda: encode(RGB, BINS, lam="0.2"), TypeError, r"^lam: expected a number, got str"),
    ("cells zero", lambda: histogram(RGB, 0), ValueError, r"^cells: expected an integer in 1..255, got 0"),
    ("cells too many", lambda: histogram(RGB, 256), ValueError, r"^cells: expected an integer in 1..255, got 256"),
    ("cells float", lambda: histogram(RGB, 17.0), TypeError, r"^cells: expected an integer, got float"),
    ("cells bool", lambda: histogram(RGB, True), TypeError, r"^cells: expected an integer, got bool"),
    ("alpha negative", lambda: smoother(alpha=-1), ValueError, r"^alpha: expected a finite number >= 0, got -1"),
    ("alpha NaN", lambda: smoother(alpha=nan), ValueError, r"^alpha: expected a finite number >= 0, got nan"),
    ("window negative", lambda: smoother(window=-1), ValueError, r"^window: expected an integer in 0..65535, got -1"),
    ("window float", lambda: smoother(window=2.0), TypeError, r"^window: expected an integer, got float"),
    ("smoother temperature", lambda: smoother(temperature=-1), ValueError, r"^temperature: expected .* got -1"),
    # names
    ("backend unknown", lambda: encode(RGB, BINS, backend="cuda"), ValueError,
     r"^backend: expected 'auto' or one of \[.*'numba'.*\], got 'cuda'"),
    ("backend of the smoother", lambda: smoother(backend="nmba"), ValueError, r"^backend: expected 'auto' .* got 'nmba'"),
    ("backend None", lambda: merge(CHROMA, LUMA, backend=None), ValueError, r"^backend: expected 'auto' .* got None"),
    ("ring unknown", lambda: smoother(ring="int8"), ValueError,
     r"^ring: expected one of 'float32', 'float16', 'uint8', got 'int8'"),
    ("label_dtype unknown", lambda: encode(RGB, BINS, label_dtype="int8"), ValueError,
     r"^label_dtype: expected one of 'auto', 'uint8', 'uint16', 'int16', 'int32', 'int64', got 'int8'"),
    ("bins are no bins", lambda: encode(RGB, BINS.colors), TypeError,
     r"^bins: expected fastcolor.ColorBins, got numpy.ndarray; ColorBins.default\(\) is one"),
    ("bins None", lambda: decode(X, LUMA, None), TypeError, r"^bins: expected fastcolor.ColorBins, got NoneType"),
    ("smoother bins", lambda: TemporalSmoother("default"), TypeError, r"^bins: expected fastcolor.ColorBins, got str"),
    # gradients
    ("gradient lost in confidence", lambda: confidence(GRAD), ValueError,
     r"^logits: expected a tensor without gradient, got requires_grad=True, and confidence has none in logits; .*detach\(\) or .*no_grad\(\)"),
    ("gradient lost in decode", lambda: decode(GRAD, T_LUMA, BINS), ValueError, r"^logits: expected .* and decode has none"),
    ("gradient of luma", lambda: decode(T_X, GRAD[0], BINS), ValueError, r"^luma: expected a tensor without gradient"),
    ("gradient lost in encode", lambda: encode(GRAD[:3], BINS, channel_axis=0), ValueError,
     r"^rgb: expected a tensor without gradient, got requires_grad=True, and encode has none"),
    ("gradient lost in histogram", lambda: histogram(GRAD[:3], 5, channel_axis=0), ValueError,
     r"^rgb: expected a tensor without gradient, got requires_grad=True, and histogram has none"),
    ("gradient lost in merge", lambda: merge(GRAD[:2], T_LUMA), ValueError, r"^chroma: expected .* and merge has none"),
    ("gradient lost in step", lambda: smoother().step(GRAD, T_LUMA), ValueError,
     r"^logits: expected .* and TemporalSmoother has none"),
    ("gradient lost in chroma", lambda: smoother().chroma(GRAD), ValueError, r"^logits: expected a tensor without gradient"),
    ("gradient of the mode", lambda: annealed_mean(GRAD, BINS, temperature=0), ValueError,
     r"^temperature: expected T > 0 for logits that require a gradient, got 0; the mode has none"),
    ("gradient into out", lambda: annealed_mean(GRAD, BINS, out=torch.empty(2, 4, 6)), ValueError,
     r"^out: expected None where torch compiles or differentiates, got an array"),
    # out=
    ("out of another shape", lambda: annealed_mean(X, BINS, out=np.empty((2, 6, 4), np.float32)), ValueError,
     r"^out: expected shape \(2, 4, 6\), got \(2, 6, 4\)"),
    ("out of another dtype", lambda: annealed_mean(X, BINS, out=np.empty((2, 4, 6))), TypeError,
     r"^out: expected dtype float32, got float64"),
    ("out of another kind", lambda: annealed_mean(T_X, BINS, out=np.empty((2, 4, 6), np.float32)), TypeError,
     r"^out: expected the same kind of array as"),
    ("out on another device", lambda: decode(T_X, T_LUMA, BINS, out=torch.empty(4, 6, 3, dtype=torch.uint8, device="meta")),
     ValueError, r"^out: expected device 'cpu'"),
    ("out read-only", lambda: decode(X, LUMA, BINS, out=read_only(RGB)), ValueError,
     r"^out: expected a writable array, got a read-only one"),
    ("out of foreign byte order", lambda: annealed_mean(X, BINS, out=np.empty((2, 4, 6), ">f4")), TypeError,
     r"^out: expected .*byte order"),
    ("out list", lambda: decode(X, LUMA, BINS, out=RGB.tolist()), (TypeError, ValueError), r"^out: expected .* got"),
    ("out for confidence", lambda: decode(X, LUMA, BINS, out=RGB.copy(), confidence=True), ValueError,
     r"^out: expected 3 array\(s\), got 1; confidence=True returns three"),
    ("out expanded", lambda: annealed_mean(T_X, BINS, out=torch.zeros(1, 4, 6).expand(2, 4, 6)), ValueError,
     r"^out: expected memory of its own for each element, got one that shares it among several, as expand .*; pass a copy"),
    ("out broadcast", lambda: decode(X, LUMA, BINS, out=writable_broadcast((4, 6, 3), np.uint8)), ValueError,
     r"^out: expected memory of its own for each element, got one that shares it"),
    ("out of the smoother, expanded", lambda: smoother().chroma(X, out=writable_broadcast((2, 4, 6), np.float32)), ValueError,
     r"^out: expected memory of its own for each element"),
    ("one of three outs expanded",
     lambda: decode(T_X, T_LUMA, BINS, confidence=True,
                    out=(torch.zeros(4, 6, 3, dtype=torch.uint8), torch.zeros(4, 6), torch.zeros(4, 1).expand(4, 6))),
     ValueError, r"^out: expected memory of its own for each element"),
    ("out that requires a gradient", lambda: annealed_mean(T_X, BINS, out=GRAD[:2].detach().requires_grad_()), ValueError,
     r"^out: expected a tensor without gradient, got requires_grad=True, .* does not see what is written; pass out\.detach\(\)"),
    ("out with a graph", lambda: smoother().chroma(T_X, out=GRAD[:2] * 1), ValueError,
     r"^out: expected a tensor without gradient, got requires_grad=True"),
    ("out of the smoother", lambda: smoother().step(X, LUMA, out=np.empty((6, 4, 3), np.uint8)), ValueError,
     r"^out: expected shape \(4, 6, 3\), got \(6, 4, 3\)"),
    # bins
    ("fit without images", lambda: fastcolor.ColorBins.fit([]), ValueError, r"^images: expected at least one image .* got none"),
    ("fit on an empty image", lambda: fastcolor.ColorBins.fit(RGB[:0]), ValueError, r"^images: expected at least one image"),
    ("fit n zero", lambda: fastcolor.ColorBins.fit(RGB, n=0), ValueError, r"^n: expected an integer in 1..1024, got 0"),
    ("fit n too many", lambda: fastcolor.ColorBins.fit(RGB, n=1025), ValueError, r"^n: .* in 1..1024, got 1025"),
    ("fit n float", lambda: fastcolor.ColorBins.fit(RGB, n=8.0), TypeError, r"^n: expected an integer, got float"),
    ("fit cells", lambda: fastcolor.ColorBins.fit(RGB, cells="all"), (TypeError, ValueError), r"^cells: expected .* got"),
    ("fit method", lambda: fastcolor.ColorBins.fit(RGB, method="mean"), ValueError,
     r"^method: expected one of 'frequent', 'kmeans', got 'mean'"),
    ("fit centers", lambda: fastcolor.ColorBins.fit(RGB, centers="mode"), ValueError,
     r"^centers: expected one of 'mean', 'midpoint', got 'mode'"),
    ("fit more bins than colors", lambda: fastcolor.ColorBins.fit(RGB, n=2), ValueError,
     r"^n: 2 bins need 2 cells that hold a pixel, got 1 of \d+; use fewer bins, more cells or more images"),
    ("fit without channels", lambda: fastcolor.ColorBins.fit(RGB[..., 0], n=1), ValueError,
     r"^images: expected size 3 on axis -1, got shape \(4, 6\)"),
    ("fit on numbers", lambda: fastcolor.ColorBins.fit([3], n=1), TypeError, r"^images: expected a NumPy array, .* got int"),
    ("fit on a memoryview", lambda: fastcolor.ColorBins.fit(memoryview(RGB)), TypeError,
     r"^images: expected a NumPy array, .* got memoryview"),
    ("fit on bytes", lambda: fastcolor.ColorBins.fit(RGB.tobytes()), TypeError, r"^images: expected .* got bytes"),
    ("table not square", lambda: bins_with(table=np.zeros((3, 4), np.uint8)), ValueError,
     r"^table: expected shape \(K, K\) .* got \(3, 4\)"),
    ("table label too high", lambda: bins_with(table=np.full((3, 3), 8, np.uint8)), ValueError,
     r"^table: expected labels in 0..7, got 8"),
    ("table label negative", lambda: bins_with(table=np.full((3, 3), -1)), ValueError, r"^table: expected labels in 0..7, got -1"),
    ("table empty", lambda: bins_with(table=np.zeros((0, 0), np.uint8)), ValueError, r"^table: expected shape .* got \(0, 0\)"),
    ("colors of three channels", lambda: bins_with(colors=np.zeros((8, 3))), ValueError,
     r"^colors: expected shape \(n, 2\) .* got \(8, 3\)"),
    ("colors NaN", lambda: bins_with(colors=np.full((8, 2), nan)), ValueError, r"^colors: expected finite chroma, got"),
    ("prior of another n", lambda: bins_with(prior=np.full(4, 0.25)), ValueError, r"^prior: expected 8 shares"),
    ("prior negative", lambda: bins_with(prior=np.array([2.0, -1] + [0] * 6)), ValueError, r"^prior: expected 8 shares >= 0"),
    ("prior not normalised", lambda: bins_with(prior=np.ones(8)), ValueError, r"^prior: expected 8 shares .* sum to 1"),
    ("prior NaN", lambda: bins_with(prior=np.full(8, nan)), ValueError, r"^prior: expected 8 shares"),
    ("weights lam", lambda: bins_with().weights(2.0), ValueError, r"^lam: expected a number in \[0, 1\], got 2\.0"),
    # threads
    ("threads zero", lambda: fastcolor.set_num_threads(0), ValueError, r"^threads: expected at least 1, got 0"),
    ("threads float", lambda: fastcolor.set_num_threads(2.0), TypeError, r"^threads: expected an int, got float"),
]  # fmt: skip


@pytest.mark.promise("Toolkit", "A wrong call has one error: the argument, what was expected, what came, what to do")
@pytest.mark.parametrize(
    ("call", "error", "message"), [row[1:] for row in BAD_CALLS], ids=[row[0] for row in BAD_CALLS]
)
def test_bad_call(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_names_of_the_bad_calls_are_unique() -> None:
    names = [row[0] for row in BAD_CALLS]
    assert len(set(names)) == len(names)


def test_a_refused_step_changes_nothing() -> None:
    """After any refused first frame the smoother still takes a frame of another shape; after a later one it goes on."""
    one, twin = smoother(), smoother()
    for bad in ({"luma": LUMA[:3]}, {"out": np.empty((1, 1, 3), np.uint8)}, {"logits": X[:5]}):
        with pytest.raises(ValueError, match="expected"):
            one.step(**{"logits": X, "luma": LUMA, **bad})
    x, luma = np.random.default_rng(1).standard_normal((N, 3, 5), dtype=np.float32), np.full((3, 5), 0.5, np.float32)
    for scale in (1, 2, -1):
        expected = twin.step(scale * x, luma)
        np.testing.assert_array_equal(one.step(scale * x, luma), expected)
        with pytest.raises(ValueError, match=r"^logits: expected shape \(8, 3, 5\)"):
            one.step(X, LUMA)
    one.reset()
    one.step(X, LUMA)


def test_probabilities_before_the_first_frame() -> None:
    for fresh in (smoother(), started()):
        fresh.reset()
        with pytest.raises(
            RuntimeError, match=r"^probabilities: expected at least one step\(\) before; no frame has been seen"
        ):
            fresh.probabilities  # noqa: B018


def test_gradients_may_be_dropped_on_purpose() -> None:
    with torch.no_grad():
        assert annealed_mean(GRAD, BINS).shape == (2, 4, 6)
    assert confidence(GRAD.detach())[0].shape == (4, 6)


def test_out_may_be_a_parameter_where_nothing_is_recorded() -> None:
    out = torch.zeros(2, 4, 6, requires_grad=True)
    with torch.no_grad():
        assert annealed_mean(T_X, BINS, out=out) is out
    assert annealed_mean(T_X, BINS, out=out.detach()).data_ptr() == out.data_ptr()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=4))
def test_memory_shared_by_elements_is_found(axes: list[tuple[int, int]]) -> None:
    """Against all addresses; what is refused and shares none has interlaced strides, which no library makes unasked."""
    shape, strides = [size for size, _ in axes], [stride for _, stride in axes]
    memory = np.arange(200, dtype=np.float32)
    array = np.lib.stride_tricks.as_strided(memory, shape, [4 * stride for stride in strides])
    tensor = torch.from_numpy(memory).as_strided(shape, strides)
    shared = len(np.unique(array)) < array.size
    assert kinds.overlaps(array) == kinds.overlaps(tensor)
    assert kinds.overlaps(array) or not shared
    if not shared and array.size:
        assert not kinds.overlaps(array.copy(order="F"))
        assert not kinds.overlaps(array.copy()[..., ::-1] if axes else array.copy())


@pytest.mark.parametrize("layout", sorted(set(make.LAYOUTS) - {"broadcast"}))
def test_no_usual_layout_shares_memory(layout: str) -> None:
    for shape in ((), (1,), (3, 4, 5), (1, 4, 1), (2, 1, 5), (0, 3)):
        assert not kinds.overlaps(make.lay_out(np.zeros(shape, np.float32), layout))


def test_a_foreign_byte_order_is_read_right(backend: str) -> None:
    x = np.random.default_rng(2).standard_normal((N, 4, 6)).astype(np.float32)
    swapped = x.astype(">f4")
    np.testing.assert_array_equal(
        annealed_mean(swapped, BINS, backend=backend), annealed_mean(x, BINS, backend=backend)
    )


def test_an_unavailable_backend_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> None:
        raise ImportError("no module named libwhatever")

    broken = registry.Backend("broken", "nowhere", ("cpu",), probe, hint="install libwhatever")
    monkeypatch.setitem(registry.BACKENDS, "broken", broken)
    try:
        pattern = (
            r"^backend: broken \(cpu\): not available: ImportError: no module named libwhatever; install libwhatever"
        )
        with pytest.raises(fastcolor.BackendUnavailableError, match=pattern) as caught:
            encode(RGB, BINS, backend="broken")
        assert isinstance(caught.value.__cause__, ImportError)
        assert fastcolor.backends()["broken"].available is False
        assert encode(RGB, BINS)[1].shape == (4, 6), "auto is quiet: it takes the one that runs"
    finally:
        registry.unavailable_because.cache_clear()


@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("confidence", lambda x, y, **o: confidence(x, **o)),
        ("confidence", lambda x, y, **o: decode(x, y, BINS, confidence=True, **o)),
        ("merge", lambda x, y, **o: decode(x[:, ::2], y, BINS, **o)),
        ("merge", lambda x, y, **o: merge(x[:2, ::2], y, **o)),
        ("histogram", lambda x, y, **o: histogram(RGB, 5, **o)),
        ("encode_soft", lambda x, y, **o: encode_soft(RGB, BINS, neighbors=2, **o)),
        ("TemporalSmoother", lambda x, y, **o: TemporalSmoother(BINS, **o).step(x, y)),
    ],
)
def test_what_numba_cuda_lacks_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, op: str, call: Any
) -> None:
    module = registry.BACKENDS["numba-cuda"].module
    monkeypatch.setitem(registry.BACKENDS, "few", registry.Backend("few", module, ("cpu",), lambda: None, ""))
    with pytest.raises(fastcolor.BackendUnavailableError, match=f"^backend: few has no {op}; choose another backend"):
        call(np.zeros((N, 4, 6), np.float32), np.zeros((4, 6), np.float32), backend="few")


# --- empty arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.ops("encode", "histogram", "annealed_mean", "confidence", "decode", "merge", "TemporalSmoother")
def test_zero_size_in_zero_size_out(backend: str, kind: str, shape: tuple[int, int]) -> None:
    rgb = make.as_kind(np.zeros((*shape, 3)), kind, "uint8")
    x, luma = (make.as_kind(np.zeros(s), kind, "float32") for s in ((N, *shape), shape))
    options = {"backend": backend}
    assert [tuple(part.shape) for part in encode(rgb, BINS, **options)] == [shape] * 3
    counts = histogram(rgb, 5, **options)
    assert tuple(counts.shape) == (5, 5)
    assert int(counts.sum()) == 0
    assert tuple(annealed_mean(x, BINS, **options).shape) == (2, *shape)
    assert [tuple(part.shape) for part in confidence(x, **options)] == [shape] * 2
    assert tuple(decode(x, luma, BINS, **options).shape) == (*shape, 3)
    assert tuple(decode(x, luma, BINS, channel_axis=0, **options).shape) == (3, *shape)
    parts = decode(x, luma, BINS, confidence=True, **options)
    assert [tuple(part.shape) for part in parts] == [(*shape, 3), shape, shape]
    chroma = make.as_kind(np.zeros((2, 3, 3)), kind, "float32")
    assert tuple(merge(chroma, luma, **options).shape) == (*shape, 3)
    assert tuple(merge(chroma[:, :0], luma, **options).shape) == (*shape, 3)
    one = TemporalSmoother(BINS, **options)
    for _ in range(2):
        assert tuple(one.step(x, luma).shape) == (*shape, 3)
    assert tuple(one.probabilities.shape) == (N, *shape)


# --- files of bins ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bins") / "bins.npz"
    photo = make.make_rgb(np.random.default_rng(3), "uniform", (40, 40))
    fastcolor.ColorBins.fit(photo, n=N, cells=5).save(path)
    return path


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def foreign_files(folder: Path, saved: Path) -> dict[str, Path]:
    """Files that are not color bins, each in its own way."""
    good = dict(np.load(saved))
    data = saved.read_bytes()
    files = {
        "empty": b"",
        "text": b"not an archive at all\n" * 10,
        "zip without arrays": _zip({"readme.txt": b"hello"}),
        "zip with a broken array": _zip(
            {"table.npy": b"\x93NUMPY\x01\x00 nonsense", "colors.npy": b"", "prior.npy": b""}
        ),
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07payload\x94.",
    }
    paths = {}
    for name, content in files.items():
        paths[name] = folder / f"{name.replace(' ', '-')}.npz"
        paths[name].write_bytes(content)
    for percent in (1, 30, 60, 90, 99):
        paths[f"truncated to {percent} %"] = folder / f"truncated{percent}.npz"
        paths[f"truncated to {percent} %"].write_bytes(data[: len(data) * percent // 100])
    paths["npz of something else"] = write_npz(folder / "other.npz", weights=np.zeros(3))
    paths["npz without prior"] = write_npz(folder / "noprior.npz", table=good["table"], colors=good["colors"])
    paths["npz of objects"] = write_npz(folder / "objects.npz", **{**good, "prior": np.array([{}] * N, object)})
    paths["npz of text"] = write_npz(folder / "strings.npz", **{**good, "colors": np.array(["red", "blue"])})
    paths["npz with a wrong table"] = write_npz(folder / "table.npz", **{**good, "table": np.full((5, 5), 200)})
    paths["npz with NaN colors"] = write_npz(folder / "nan.npz", **{**good, "colors": good["colors"] * np.nan})
    paths["single npy"] = folder / "one.npz"
    with open(paths["single npy"], "wb") as file:
        np.save(file, good["table"])
    return paths


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_foreign_and_truncated_files(tmp_path: Path, saved: Path) -> None:
    for name, path in foreign_files(tmp_path, saved).items():
        with pytest.raises(ValueError, match=r"expected .*, got ") as caught:
            fastcolor.ColorBins.load(path)
        assert str(path) in str(caught.value), f"{name}: the message names the file: {caught.value}"


def test_a_file_damaged_anywhere_is_refused_or_unharmed(tmp_path: Path, saved: Path) -> None:
    """One byte inverted at every seventh place: a ValueError, or bins equal to those saved; never anything else."""
    data, good = saved.read_bytes(), fastcolor.ColorBins.load(saved)
    path = tmp_path / "damaged.npz"
    refused = intact = 0
    for position in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            bins = fastcolor.ColorBins.load(path)
        except ValueError as error:
            refused += str(path) in str(error)
            continue
        np.testing.assert_array_equal(bins.table, good.table, err_msg=f"byte {position}")
        np.testing.assert_array_equal(bins.colors, good.colors, err_msg=f"byte {position}")
        np.testing.assert_array_equal(bins.prior, good.prior, err_msg=f"byte {position}")
        intact += 1
    assert refused + intact == len(range(0, len(data), 7)), "each refusal names the file"
    assert refused > intact


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz: no such file; `fastcolor fit` writes one"):
        fastcolor.ColorBins.load(tmp_path / "nothing.npz")
    with pytest.raises((ValueError, OSError), match=str(tmp_path)):
        fastcolor.ColorBins.load(tmp_path)


def test_saving_is_whole_or_not_at_all(tmp_path: Path, saved: Path) -> None:
    bins = fastcolor.ColorBins.load(saved)
    with pytest.raises(OSError, match=r"the folder .* does not exist; make it first"):
        bins.save(tmp_path / "no" / "bins.npz")
    bins.save(tmp_path / "again.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.npz"]
    again = fastcolor.ColorBins.load(tmp_path / "again.npz")
    for field in ("table", "colors", "prior"):
        np.testing.assert_array_equal(getattr(again, field), getattr(bins, field))


def test_a_folder_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert cli.main(["fit", str(tmp_path), "-o", str(tmp_path / "bins.npz")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("fastcolor: error: ")
    assert str(tmp_path) in message
    assert "Traceback" not in message
    assert not (tmp_path / "bins.npz").exists()


def test_an_image_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    with pytest.raises((ValueError, OSError), match=r"broken\.jpg"):
        fastcolor.ColorBins.fit([path], n=1)


@pytest.mark.gpu
def test_a_cuda_tensor_is_never_moved() -> None:
    """The CPU backend refuses it by name."""
    with pytest.raises(fastcolor.BackendUnavailableError, match="device 'cuda:0'"):
        annealed_mean(T_X.cuda(), BINS, backend="numba")
