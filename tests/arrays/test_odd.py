"""Arrays as nobody expects them, given to every public operation: read as the reference reads them, or refused by name.

Never another exception, and never a result where there is none: of a masked array, say, or of a sparse tensor.
"""

from __future__ import annotations

import fractions
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import anywhere
import compare
import numpy as np
import odd_arrays as odd
import pytest
import strategies as make
import torch

import fastcolor
from fastcolor import (
    ColorBins,
    TemporalSmoother,
    annealed_mean,
    confidence,
    decode,
    encode,
    encode_soft,
    histogram,
    merge,
    reference,
    weighted_cross_entropy,
)

N, SHAPE = 8, (4, 6)
RANDOM = make.make_bins(np.random.default_rng(0), N, 5)
BINS = ColorBins(RANDOM.table, RANDOM.colors, RANDOM.prior)
LAB = ColorBins.from_centers([[0, 0], [40, 20], [-40, 20]])
rng = np.random.default_rng(0)


def unit(*shape: int) -> Any:
    return rng.uniform(0.02, 0.98, shape).astype(np.float32)


X, Y = rng.standard_normal((N, *SHAPE), dtype=np.float32), unit(*SHAPE)
LEVELS = rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
CHROMA = rng.uniform(-0.1, 0.1, (2, *SHAPE)).astype(np.float32)


class Op(NamedTuple):
    """A public operation, what it must equal, and arrays that it takes, by the names of its arguments."""

    run: Callable[..., Any]
    truth: Callable[..., Any]
    arrays: dict[str, Any]


def of(function: Callable[..., Any], arrays: dict[str, Any], *rest: Any, **options: Any) -> Op:
    """With the function of the same name in the reference."""
    true = getattr(reference, function.__name__)
    return Op(
        lambda **given: function(*given.values(), *rest, **options),
        lambda **given: true(*given.values(), *rest, **options),
        arrays,
    )


def _within(values: Any) -> None:
    if values.dtype != np.uint8:
        reference.color.within("luma", values, 0.0, 1.0)


OPS = {
    "encode": of(encode, {"rgb": LEVELS}, BINS),
    "encode floats": of(encode, {"rgb": unit(*SHAPE, 3)}, BINS),
    "encode for Lab": of(encode, {"rgb": unit(*SHAPE, 3).astype(np.float64)}, LAB),
    "encode_soft": of(encode_soft, {"rgb": LEVELS}, BINS, neighbors=2),
    "histogram": of(histogram, {"rgb": LEVELS}, 17),
    "annealed_mean": of(annealed_mean, {"logits": X}, BINS),
    "annealed_mean, T = 0": of(annealed_mean, {"logits": X}, BINS, temperature=0.0),
    "annealed_mean of probabilities": of(annealed_mean, {"logits": unit(N, *SHAPE)}, BINS, from_logits=False),
    "confidence": of(confidence, {"logits": X}),
    "decode": of(decode, {"logits": X, "luma": Y}, BINS),
    "decode for Lab": of(decode, {"logits": X[:3], "luma": 100 * Y}, LAB, confidence=True),
    "merge": of(merge, {"chroma": CHROMA, "luma": Y}),
    "merge in Lab": of(merge, {"chroma": 300 * CHROMA, "luma": 100 * Y}, space="lab"),
    "merge on levels": of(merge, {"chroma": CHROMA, "luma": LEVELS[..., 0].copy()}),
    "step": Op(
        lambda **given: TemporalSmoother(BINS).step(**given),
        lambda logits, luma: reference.TemporalSmoother(BINS).step(logits, luma),
        {"logits": X, "luma": Y},
    ),
    "chroma": Op(
        lambda **given: TemporalSmoother(BINS).chroma(**given),
        lambda logits: reference.annealed_mean(logits, BINS),
        {"logits": X},
    ),
    "check_range": Op(lambda **given: fastcolor.check_range(*given.values(), "luma"), _within, {"values": Y}),
}


@pytest.mark.promise("Toolkit", "An array of any layout, byte order, dtype or kind is read right or refused by name")
@pytest.mark.parametrize("kind", odd.KINDS)
@pytest.mark.parametrize(("op", "name"), [(op, name) for op in OPS for name in OPS[op].arrays])
@pytest.mark.filterwarnings("ignore")  # of libraries, about the arrays themselves
def test_an_odd_array_is_read_right_or_refused_by_name(op: str, name: str, kind: str) -> None:
    run, truth, arrays = OPS[op]
    # A shape may be that of another argument, a gradient or a device impossible for the options.
    names = *arrays, "axis", "channel_axis", "temperature", "backend", *(["luma"] if op == "check_range" else [])
    for one in odd.KINDS[kind](arrays[name]):
        others = {key: torch.from_numpy(array) if kind == "torch" else array for key, array in arrays.items()}
        result = _given(run, {**others, name: one.array}, names, one.name)
        if result is not REFUSED:
            assert one.values is not None, f"{one.name} was taken"
            with np.errstate(all="ignore"):
                _assert_close(result, truth(**{**arrays, name: one.values}), one)


LABELS = rng.integers(0, N, (2, *SHAPE), dtype=np.uint8)
IMAGES = {"logits": rng.standard_normal((2, N, *SHAPE), dtype=np.float32)}
LOSSES = {
    "hard": IMAGES | {"labels": LABELS, "weights": unit(N), "mask": unit(2, *SHAPE)},
    "soft": IMAGES | {"labels": np.stack([LABELS, (LABELS + 1) % N], 1), "weights": unit(2, *SHAPE)}
    | {"shares": unit(2, 2, *SHAPE)},
    "dense": IMAGES | {"labels": unit(2, N, *SHAPE), "weights": unit(N)},
}  # fmt: skip


@pytest.mark.promise("Toolkit", "A tensor of any layout, dtype or kind is counted right in the loss or refused by name")
@pytest.mark.parametrize(("target", "name"), [(target, name) for target in LOSSES for name in LOSSES[target]])
@pytest.mark.filterwarnings("ignore")
def test_an_odd_tensor_is_counted_right_or_refused_by_name(target: str, name: str) -> None:
    arrays = LOSSES[target]
    for one in odd.of_torch(arrays[name]):
        given = {key: torch.from_numpy(array) for key, array in arrays.items()}
        result = _given(weighted_cross_entropy, {**given, name: one.array}, (*arrays, "backend"), one.name)
        if result is not REFUSED:
            assert one.values is not None, f"{one.name} was taken"
            if one.values.size:
                _assert_close(result, reference.weighted_cross_entropy(**{**arrays, name: one.values}), one)


@pytest.mark.promise("Toolkit", "Bins are made of any array of numbers, or it is refused by name")
@pytest.mark.parametrize("kind", odd.KINDS)
@pytest.mark.parametrize("name", ["table", "colors", "prior"])
@pytest.mark.filterwarnings("ignore")
def test_odd_arrays_make_bins_or_are_refused_by_name(name: str, kind: str) -> None:
    fields = {"table": BINS.table, "colors": BINS.colors, "prior": BINS.prior}
    for one in odd.KINDS[kind](fields[name]):
        made = _given(ColorBins, {**fields, name: one.array}, (*fields, "chroma"), one.name)
        if made is not REFUSED:
            assert one.values is not None, f"{one.name} was taken"
            np.testing.assert_allclose(getattr(made, name), one.values, rtol=1e-7)


OUTS = {
    "annealed_mean": ((2, *SHAPE), np.float32, lambda x, y, out: annealed_mean(x, BINS, out=out)),
    "decode": ((*SHAPE, 3), np.uint8, lambda x, y, out: decode(x, y, BINS, out=out)),
    "step": ((*SHAPE, 3), np.uint8, lambda x, y, out: TemporalSmoother(BINS).step(x, y, out=out)),
    "chroma": ((2, *SHAPE), np.float32, lambda x, y, out: TemporalSmoother(BINS).chroma(x, out=out)),
}


@pytest.mark.promise("Toolkit", "An odd array given for the result is filled and given back, or refused by name")
@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("op", OUTS)
@pytest.mark.filterwarnings("ignore")
def test_an_odd_array_for_the_result_is_filled_or_refused(op: str, kind: str) -> None:
    shape, dtype, run = OUTS[op]
    x, y = map(torch.from_numpy, (X, Y)) if kind == "torch" else (X, Y)
    expected = _as_numpy(run(x, y, None))
    for one in odd.KINDS[kind](np.zeros(shape, dtype)):
        result = _given(run, {"x": x, "y": y, "out": one.array}, ("out",), one.name)
        if result is not REFUSED:
            assert result is one.array, one.name
            np.testing.assert_array_equal(_as_numpy(result), expected, err_msg=one.name)


class Duck:
    """Bins of another's making."""

    def __init__(self, like: Any, **other: Any) -> None:
        fields = ("table", "colors", "prior", "n", "cells", "space", "weights")
        vars(self).update({name: getattr(like, name) for name in fields} | other)


MANY = ColorBins.from_centers(rng.uniform(-100, 100, (300, 2)))


@pytest.mark.promise("Toolkit", "Labels of bins of another's making are never taken modulo 256")
def test_labels_of_many_bins_of_anothers_making_are_wide() -> None:
    for duck in (Duck(MANY), Duck(MANY, table=MANY.table.astype(np.int64))):
        _, labels, weights = encode(LEVELS, duck)
        assert labels.dtype == np.int16
        np.testing.assert_array_equal(labels, reference.encode(LEVELS, MANY)[1])
        np.testing.assert_array_equal(weights, encode(LEVELS, MANY)[2])
        np.testing.assert_array_equal(encode_soft(LEVELS, duck)[1], encode_soft(LEVELS, MANY)[1])


@pytest.mark.promise("Toolkit", "Bins of another's making whose parts do not fit together are refused")
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"n": 9}, r"^bins: expected n, cells of 8, 5, got 9, 5"),
        ({"cells": 6}, r"^bins: expected n, cells of 8, 5, got 8, 6"),
        ({"table": BINS.table.tolist()}, r"^bins\.table: expected a NumPy array, got list; ColorBins\(table, colors"),
        ({"colors": torch.zeros(8, 2)}, r"^bins\.colors: expected a NumPy array, got torch\.Tensor"),
        ({"table": np.full((5, 5), 8)}, r"^table: expected labels in 0..7, got 8..8"),
        ({"colors": BINS.colors * np.nan}, r"^colors: expected finite chroma"),
        ({"prior": np.ones(7) / 7}, r"^prior: expected 8 shares"),
        ({"space": "hsv"}, r"^bins\.space: expected one of 'yuv', 'lab'"),
        ({"weights": lambda lam: np.ones(7)}, r"^bins: expected weights\(lam\) of shape \(8,\), one a bin, got \(7,\)"),
    ],
)
def test_parts_of_bins_that_do_not_fit_are_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        encode(LEVELS, Duck(BINS, **other))
    if "weights" not in other:
        with pytest.raises((TypeError, ValueError), match=message):
            decode(X, Y, Duck(BINS, **other))


NUMBERS = (
    *(np.array(0.5), np.array(0.5, ">f4"), np.float16(0.5), np.float64(0.5), fractions.Fraction(1, 2)),
    *(torch.tensor(0.5), torch.tensor(0.5, dtype=torch.bfloat16), torch.nn.Parameter(torch.tensor(0.5), False)),
)


@pytest.mark.promise("Toolkit", "An array or a tensor without dimensions is a number")
@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_an_array_without_dimensions_is_a_number(number: Any) -> None:
    np.testing.assert_array_equal(annealed_mean(X, BINS, temperature=number), annealed_mean(X, BINS, temperature=0.5))
    np.testing.assert_array_equal(encode(LEVELS, BINS, lam=number)[2], encode(LEVELS, BINS, lam=0.5)[2])
    assert TemporalSmoother(BINS, alpha=number, window=np.array(3)).alpha == 0.5


NO_NUMBERS = {
    "a gradient": (torch.tensor(0.5, requires_grad=True), TypeError, "that requires a gradient; .* use .item"),
    "a vector": (np.array([0.5]), TypeError, "got numpy.ndarray"),
    "a flag": (np.array(True), TypeError, "got bool"),
    "text": (np.array("0.5"), TypeError, "got str"),
    "masked": (np.ma.masked, TypeError, "got numpy.ma.core.MaskedConstant"),
    "complex": (np.array(0.5j), TypeError, "got complex"),
    "meta": (torch.tensor(0.5, device="meta"), TypeError, r"which is to be waited for; float\(...\) does"),
    "beyond all floats": (10**400, ValueError, r"a number in \[0, 1e\+30\]"),
    "a fraction beyond them": (-fractions.Fraction(10**400), ValueError, r"a number in \[0, 1e\+30\]"),
    "huge": (1e31, ValueError, r"a number in \[0, 1e\+30\], got 1e\+31; T = 0 is the mode"),
}


@pytest.mark.promise("Toolkit", "What is no number of the range is refused by its argument's name")
@pytest.mark.parametrize(("value", "error", "message"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_number_is_refused_by_name(value: Any, error: type[Exception], message: str) -> None:
    for call in (
        lambda: annealed_mean(X, BINS, temperature=value),
        lambda: decode(X, Y, BINS, temperature=value),
        lambda: TemporalSmoother(BINS, temperature=value),
    ):
        with pytest.raises(error, match=f"^temperature: expected .*{message}"):
            call()


@pytest.mark.promise("Toolkit", "Logits of any size, infinite ones too, give the reference's colors at any temperature")
@pytest.mark.parametrize("size", [1e37, -3e38, 1e-44, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-45, 1e-5, 1.0, 1e29, 1e30])
@pytest.mark.parametrize("pixels", [1, 20])
def test_logits_of_any_size_are_decoded(size: float, temperature: float, pixels: int) -> None:
    x = rng.standard_normal((N, 1, pixels), dtype=np.float32)
    x[0], x[3] = size, -size if abs(size) < 3.1e38 else 1
    with np.errstate(all="ignore"):
        expected = reference.annealed_mean(x, BINS, temperature=temperature)
        slope = reference.annealed_mean_gradient(np.ones_like(expected), x, BINS, temperature=temperature or 1.0)
    np.testing.assert_allclose(annealed_mean(x, BINS, temperature=temperature), expected, atol=2e-6)
    np.testing.assert_allclose(TemporalSmoother(BINS, window=0).chroma(x), reference.annealed_mean(x, BINS), atol=2e-6)
    if temperature:
        logits = torch.from_numpy(x).requires_grad_()
        annealed_mean(logits, BINS, temperature=temperature).sum().backward()
        np.testing.assert_allclose(
            logits.grad.numpy(), slope, rtol=1e-4, atol=1e-6 * np.nanmax(np.abs(slope), initial=1)
        )


@pytest.mark.promise("Toolkit", "Infinite luma has one answer, whatever reads it; NaN is black")
@pytest.mark.parametrize("space", ["yuv", "lab"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.ops("annealed_mean", "decode", "merge", "TemporalSmoother")
def test_luma_that_is_no_number_has_one_answer(backend: str, value: float, space: str) -> None:
    bins, x, luma, chroma = (BINS, X, Y.copy(), CHROMA) if space == "yuv" else (LAB, X[:3], 100 * Y, 300 * CHROMA)
    luma[1, 2] = value
    looks = backend == "numba" or np.isnan(value)  # a GPU's kernels cannot tell, and say so
    answers = set()
    for call in (
        lambda: anywhere.decode(x, luma, bins, backend=backend),
        lambda: anywhere.decode(x[:, :2, :3].copy(), luma, bins, backend=backend),
        lambda: anywhere.merge(chroma, luma, space=space, backend=backend),
        lambda: anywhere.TemporalSmoother(bins, backend=backend).step(x, luma),
        *([lambda: reference.merge(chroma, luma, space=space)] if looks else []),
    ):
        try:
            answers.add(tuple(call()[1, 2].tolist()))
        except ValueError as error:
            answers.add(str(error)[:23])
    if looks:
        assert answers == {(0, 0, 0) if np.isnan(value) else "luma: expected values i"}
    assert len(answers) == 1


@pytest.mark.promise("Toolkit", "A window that is too long for memory is refused, and the message says what it takes")
def test_a_window_too_long_for_memory_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^window: expected an integer in 0..65535, got 1000000000$"):
        TemporalSmoother(BINS, window=10**9)

    def full(*_: Any) -> None:
        raise MemoryError

    one = TemporalSmoother(BINS, window=65_535, ring="float16")
    with monkeypatch.context() as patched:
        patched.setattr("fastcolor.kernels.numba_cpu.temporal.TemporalSmoother._allocate", full)
        for kind in (np.asarray, torch.from_numpy):
            with pytest.raises(
                MemoryError, match=r"^window: .*, got 65535, which takes 0\.0 GB for logits \(8, 4, 6\)"
            ):
                one.step(kind(X), kind(Y))
    assert one.step(X[:, :2, :2], Y[:2, :2]).shape == (2, 2, 3), "the film has not begun"


def test_a_subclass_has_no_state_of_a_film() -> None:
    with pytest.raises(TypeError, match=r"^logits: expected a plain tensor, got SubTensor, .*as_subclass"):
        TemporalSmoother(BINS).chroma(torch.from_numpy(X).as_subclass(odd.SubTensor))


REFUSED = object()


def _given(run: Callable[..., Any], given: dict[str, Any], names: tuple[str, ...], which: str) -> Any:
    """The result, or REFUSED by an error that begins with one of the names; anything else fails the test."""
    try:
        return run(**given)
    except Exception as error:
        known = isinstance(error, (TypeError, ValueError, fastcolor.BackendUnavailableError))
        if known and re.match(f"({'|'.join(names)})(, [a-z ]+)?: ", str(error)):
            return REFUSED
        raise AssertionError(f"{which}: {type(error).__name__}: {error}") from error


def _assert_close(result: Any, truth: Any, one: odd.Odd) -> None:
    """Within what halves resolve where these come in; kernels are held to their bounds in tests/kernels."""
    if result is None:
        return
    close = 0.02 if any(narrow in one.name for narrow in ("float16", "float8", "f2")) else 1e-4
    for got, want in zip(*(part if isinstance(part, tuple) else (part,) for part in (result, truth)), strict=True):
        array, want = _as_numpy(got).astype(np.float64), np.asarray(want)
        scale = 1.0 if want.dtype == np.uint8 else close * max(1.0, float(np.nanmax(np.abs(BINS.colors))))
        np.testing.assert_allclose(array, want.astype(np.float32), rtol=close, atol=scale, err_msg=one.name)


def _as_numpy(result: Any) -> Any:
    plain = result.detach().as_subclass(torch.Tensor) if isinstance(result, torch.Tensor) else result
    return compare.as_numpy(plain) if plain is not None else plain
