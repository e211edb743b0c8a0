"""The cases of :mod:`gpu_cases` for CIE Lab, many bins, probabilities and soft targets."""

from __future__ import annotations

from typing import Any

import compare
import compare_lab
import compare_loss
import compare_probabilities
import gpu_cases
import numpy as np
import strategies as make
import torch
from gpu_cases import TEMPERATURE, Case, Inputs, loss_by

import fastcolor
from fastcolor import reference

ZHANG = fastcolor.ColorBins.zhang()
K = 5


def _rgb(rng: np.random.Generator) -> Inputs:
    return {"rgb": make.make_rgb(rng, "uniform", (gpu_cases.HEIGHT, gpu_cases.WIDTH))}


def _logits(rng: np.random.Generator) -> Inputs:
    """Fewer pixels than other cases: the bins are ten times as many."""
    shape = (gpu_cases.HEIGHT // 4, gpu_cases.WIDTH // 4)
    return {
        "logits": 3 * rng.standard_normal((ZHANG.n, *shape), dtype=np.float32),
        "luma": rng.uniform(0, 100, shape).astype(np.float32),
    }


def _probabilities(rng: np.random.Generator) -> Inputs:
    return {"p": np.exp(_logits(rng)["logits"])}


def _batch(rng: np.random.Generator) -> Inputs:
    size = gpu_cases.HEIGHT, gpu_cases.WIDTH
    return {
        "chroma": rng.uniform(-60, 60, (2, 2, size[0] // 2, size[1] // 2)).astype(np.float32),
        "luma": rng.uniform(0, 100, (2, *size)).astype(np.float32),
    }


def _soft(rng: np.random.Generator) -> Inputs:
    pixels = (2, gpu_cases.HEIGHT // 4, gpu_cases.WIDTH // 4)
    labels = rng.random((2, ZHANG.n, *pixels[1:])).argsort(axis=1)[:, :K]
    shares = rng.uniform(0.05, 1, labels.shape)
    return {
        "logits": 3 * rng.standard_normal((2, ZHANG.n, *pixels[1:]), dtype=np.float32),
        "labels": labels.astype(np.int32),
        "shares": (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
        "weights": rng.uniform(0.1, 1.1, pixels).astype(np.float32),
    }


def _losses(arrays: Inputs, backend: str) -> tuple[Any, ...]:
    logits = arrays["logits"].detach().requires_grad_()
    with loss_by(backend):
        loss = fastcolor.weighted_cross_entropy(
            logits, arrays["labels"], arrays["weights"], shares=arrays["shares"], reduction="none"
        )
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
    return loss.detach(), gradient


def _check_encoded(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    luma, labels, weights = map(compare.as_numpy, results)
    compare_lab.assert_lab_luma_close(luma, inputs["rgb"])
    expected = reference.encode(inputs["rgb"], ZHANG)
    np.testing.assert_array_equal(labels, expected[1])
    np.testing.assert_array_equal(weights, expected[2].astype(np.float32))


def _check_soft(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    options: dict[str, Any] = {"neighbors": K, "sigma": 5.0, "lam": 0.2, "weighting": "nearest", "axis": -3}
    compare_lab.assert_soft(results, inputs["rgb"], ZHANG, **options, double=False, arithmetic=arithmetic)


def _check_decoded(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    seen = np.moveaxis(compare.as_seen(inputs["logits"]), 0, -1)
    ab = reference.annealed_mean(seen, ZHANG, temperature=TEMPERATURE, axis=-1)
    error = compare.chroma_bound(seen, ZHANG, TEMPERATURE, arithmetic)
    compare_lab.assert_lab_rgb_close(compare.as_numpy(results[0]), inputs["luma"], ab, error)


def _check_probabilities(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    compare_probabilities.assert_mean_of_probabilities(
        results[0], inputs["p"], ZHANG, temperature=TEMPERATURE, arithmetic=arithmetic
    )


def _check_losses(inputs: Inputs, results: tuple[Any, ...], arithmetic: compare.Arithmetic) -> None:
    target = compare_loss.dense_targets(ZHANG.n, inputs["labels"], inputs["shares"])
    losses, gradient = results
    x = inputs["logits"].astype(np.float64)
    compare_loss.assert_losses_close(losses, gradient, x, target, inputs["weights"], added=K, arithmetic=arithmetic)


CASES = (
    Case(
        "encode_lab", "encode", _rgb,
        lambda arrays, backend: fastcolor.encode(arrays["rgb"], ZHANG, backend=backend),
        _check_encoded,
    ),
    Case(
        "encode_soft", "encode_soft", _rgb,
        lambda arrays, backend: fastcolor.encode_soft(arrays["rgb"], ZHANG, neighbors=K, backend=backend),
        _check_soft,
    ),
    Case(
        "histogram_lab", "histogram", _rgb,
        lambda arrays, backend: (fastcolor.histogram(arrays["rgb"], 23, space="lab", backend=backend),),
        lambda inputs, results, _: np.testing.assert_array_equal(
            compare.as_numpy(results[0]), reference.histogram(inputs["rgb"], 23, space="lab")
        ),
    ),
    Case(
        "decode_lab", "decode", _logits,
        lambda arrays, backend: (
            fastcolor.decode(arrays["logits"], arrays["luma"], ZHANG, temperature=TEMPERATURE, backend=backend),
        ),
        _check_decoded,
    ),
    Case(
        "probabilities", "annealed_mean", _probabilities,
        lambda arrays, backend: (
            fastcolor.annealed_mean(arrays["p"], ZHANG, temperature=TEMPERATURE, from_logits=False, backend=backend),
        ),
        _check_probabilities,
    ),
    Case(
        "merge_lab", "merge", _batch,
        lambda arrays, backend: (fastcolor.merge(arrays["chroma"], arrays["luma"], space="lab", backend=backend),),
        lambda inputs, results, _: compare_lab.assert_lab_merged(
            compare.as_numpy(results[0]), inputs["chroma"], inputs["luma"]
        ),
    ),
    Case("losses_soft", "weighted_cross_entropy", _soft, _losses, _check_losses, torch_only=True),
)  # fmt: skip

EVERY = (*gpu_cases.CASES, *CASES)
