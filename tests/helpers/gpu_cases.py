"""Every operation as a case: inputs as NumPy arrays, the call on arrays of any library, the check of its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import compare
import numpy as np
import strategies as make
import torch

import fastcolor
from fastcolor import reference
from fastcolor.arrays import run_gradient

Inputs = dict[str, Any]
_RANDOM = make.make_bins(np.random.default_rng(20), 32, 17)
BINS = fastcolor.ColorBins(_RANDOM.table, _RANDOM.colors, _RANDOM.prior)  # of the class that torch.compile knows
TEMPERATURE = 0.38
# Neither a multiple of anything that a kernel works in, so that accesses are narrow; then with 16 bytes at a time.
SIZES = ((61, 83), (64, 96))
HEIGHT, WIDTH = SIZES[0]
FRAMES = 3


@dataclass(frozen=True)
class Case:
    """An operation.

    Attributes
    ----------
    name, op : str
        Of the case, and what the backend must have.
    inputs : callable
        ``inputs(rng)`` gives NumPy arrays by name.
    call : callable
        ``call(arrays, backend)`` gives a tuple of results; the arrays are those of the inputs, on a device.
    check : callable
        ``check(inputs, results, arithmetic)`` raises if the results are wrong.
    torch_only : bool
    capturable : bool
        Whether a CUDA graph can hold it.
    """

    name: str
    op: str
    inputs: Callable[[np.random.Generator], Inputs]
    call: Callable[[Inputs, str], tuple[Any, ...]]
    check: Callable[[Inputs, tuple[Any, ...], compare.Arithmetic], None]
    torch_only: bool = False
    capturable: bool = True


# --- inputs -----------------------------------------------------------------------------------------------------------


def _rgb(rng: np.random.Generator) -> Inputs:
    return {"rgb": make.make_rgb(rng, "uniform", (HEIGHT, WIDTH))}


def _logits(rng: np.random.Generator) -> Inputs:
    return {"logits": make.make_logits(rng, "mixed", BINS.n, (HEIGHT, WIDTH)).astype(np.float32)}


def frame_of(rng: np.random.Generator) -> Inputs:
    return {**_logits(rng), "luma": rng.random((HEIGHT, WIDTH), dtype=np.float32)}


def _frame_last(rng: np.random.Generator) -> Inputs:
    frame = frame_of(rng)
    return {**frame, "logits": np.ascontiguousarray(frame["logits"].transpose(1, 2, 0)).astype(np.float16)}


def _film(rng: np.random.Generator) -> Inputs:
    frames = 3 * rng.standard_normal((FRAMES, BINS.n, HEIGHT, WIDTH), dtype=np.float32)
    return {"frames": frames, "luma": rng.random((HEIGHT, WIDTH), dtype=np.float32)}


def _half_resolution(rng: np.random.Generator) -> Inputs:
    return {
        "chroma": rng.uniform(-0.4, 0.4, (2, HEIGHT // 2, WIDTH // 2)).astype(np.float32),
        "luma": rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8),
    }


def _with_upstream(rng: np.random.Generator) -> Inputs:
    return {**_logits(rng), "upstream": rng.standard_normal((2, HEIGHT, WIDTH), dtype=np.float32)}


def _labelled(rng: np.random.Generator) -> Inputs:
    shape = (2, HEIGHT, WIDTH)
    return {
        "logits": 3 * rng.standard_normal((2, BINS.n, HEIGHT, WIDTH), dtype=np.float32),
        "labels": rng.integers(0, BINS.n, shape).astype(np.uint8),
        "weights": rng.uniform(0.1, 1.1, shape).astype(np.float32),
    }


# --- calls ------------------------------------------------------------------------------------------------------------


def _smooth(arrays: Inputs, backend: str) -> tuple[Any, ...]:
    smoother = fastcolor.TemporalSmoother(BINS, window=1, backend=backend)
    for frame in arrays["frames"]:
        rgb = smoother.step(frame, arrays["luma"])
    return rgb, smoother.probabilities


def _chroma_and_gradient(arrays: Inputs, backend: str) -> tuple[Any, ...]:
    logits = arrays["logits"].detach().requires_grad_()
    chroma = fastcolor.annealed_mean(logits, BINS, temperature=TEMPERATURE, backend=backend)
    return chroma.detach(), *torch.autograd.grad(chroma, logits, arrays["upstream"])


def _loss(arrays: Inputs, backend: str) -> tuple[Any, ...]:
    logits = arrays["logits"].detach().requires_grad_()
    with loss_by(backend):
        loss = fastcolor.weighted_cross_entropy(logits, arrays["labels"], arrays["weights"])
    return loss.detach(), *torch.autograd.grad(loss, logits)


@contextmanager
def loss_by(backend: str) -> Iterator[None]:
    """The loss has no argument `backend`: it takes the first that fits. Within this block it takes `backend`."""
    with mock.patch.object(run_gradient, "BACKEND", backend):
        yield


# --- checks -----------------------------------------------------------------------------------------------------------


def _check_histogram(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    np.testing.assert_array_equal(compare.as_numpy(results[0]), reference.histogram(inputs["rgb"], 17))


def check_chroma(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    compare.assert_chroma_close(results[0], inputs["logits"], BINS, temperature=TEMPERATURE, arithmetic=arithmetic)


def _check_gradient(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    check_chroma(inputs, results, arithmetic)
    compare.assert_annealed_gradient_close(
        results[1], inputs["upstream"], inputs["logits"], BINS, temperature=TEMPERATURE, arithmetic=arithmetic
    )


def check_decoded(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic, axis: int = -3) -> None:
    logits, luma = inputs["logits"], inputs["luma"]
    compare.assert_decoded(results[0], logits, luma, BINS, temperature=TEMPERATURE, axis=axis, arithmetic=arithmetic)
    if results[1:]:
        compare.assert_confidence_close(results[1], results[2], logits, axis=axis, arithmetic=arithmetic)


def _check_film(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    truth = compare.SmoothedTruth(BINS, alpha=0.2, window=1, temperature=TEMPERATURE, arithmetic=arithmetic)
    for frame in inputs["frames"]:
        truth.step(frame)
    truth.assert_rgb(results[0], inputs["luma"])
    truth.assert_probabilities(results[1])


def _check_loss(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    arrays = inputs["logits"].astype(np.float64), inputs["labels"], inputs["weights"]
    compare.assert_loss_close(results[0], results[1], *arrays, arithmetic=arithmetic)


CASES = (
    Case(
        "encode", "encode", _rgb,
        lambda arrays, backend: fastcolor.encode(arrays["rgb"], BINS, backend=backend),
        lambda inputs, results, _: compare.assert_encoded(results, inputs["rgb"], BINS, 0.2),
    ),
    Case(
        "histogram", "histogram", _rgb,
        lambda arrays, backend: (fastcolor.histogram(arrays["rgb"], 17, backend=backend),),
        _check_histogram,
    ),
    Case(
        "annealed_mean", "annealed_mean", _logits,
        lambda arrays, backend: (
            fastcolor.annealed_mean(arrays["logits"], BINS, temperature=TEMPERATURE, backend=backend),
        ),
        check_chroma,
    ),
    Case(
        "annealed_mean_gradient", "annealed_mean_gradient", _with_upstream, _chroma_and_gradient, _check_gradient,
        torch_only=True,
    ),
    Case(
        "confidence", "confidence", _logits,
        lambda arrays, backend: fastcolor.confidence(arrays["logits"], backend=backend),
        lambda inputs, results, arithmetic: compare.assert_confidence_close(
            results[0], results[1], inputs["logits"], arithmetic=arithmetic
        ),
    ),
    Case(
        "decode", "decode", frame_of,
        lambda arrays, backend: (fastcolor.decode(arrays["logits"], arrays["luma"], BINS, backend=backend),),
        check_decoded,
    ),
    Case(
        "decode_confidence_channels_last_half", "confidence", _frame_last,
        lambda arrays, backend: fastcolor.decode(
            arrays["logits"], arrays["luma"], BINS, axis=-1, confidence=True, backend=backend
        ),
        lambda inputs, results, arithmetic: check_decoded(inputs, results, arithmetic, axis=-1),
    ),
    Case(
        "merge", "merge", _half_resolution,
        lambda arrays, backend: (fastcolor.merge(arrays["chroma"], arrays["luma"], backend=backend),),
        lambda inputs, results, _: compare.assert_merged(results[0], inputs["chroma"], inputs["luma"]),
    ),
    Case("smoothing", "TemporalSmoother", _film, _smooth, _check_film, capturable=False),
    Case("loss", "weighted_cross_entropy", _labelled, _loss, _check_loss, torch_only=True),
)  # fmt: skip
