"""Comparators of probabilities and of soft targets: a float32 model of a kernel passes, each planted error does not."""

from __future__ import annotations

from typing import Any

import compare
import compare_loss
import compare_probabilities
import numpy as np
import pytest
import strategies

F = np.float32
N, K, T = 313, 5, 0.38
BINS = strategies.make_bins(np.random.default_rng(7), N, 17)
of_every_arithmetic = pytest.mark.parametrize(
    "arithmetic", [compare.FLOAT32, compare.APPROXIMATE, compare.LIBDEVICE], ids=["float32", "approximate", "libdevice"]
)


def probabilities(kind: str) -> Any:
    return compare_probabilities.make_probabilities(np.random.default_rng(1), kind, N, (9, 11)).astype(F)


def model_chroma(p: Any, bug: str = "") -> Any:
    """What a correct float32 kernel makes of probabilities (n, H, W): (2, H, W)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log2(p + F(1e-4) if bug == "an epsilon" else p)
        logs = logs.astype(np.float16).astype(F) if bug == "half precision" else logs
        exponent = (logs - logs.max(axis=0)) * F(1 / T)
        w = np.exp2(exponent * F(np.log2(np.e)) if bug == "the base of logits" else exponent)
        return np.einsum("bhw,bc->chw", w, BINS.colors).astype(F) / w.sum(axis=0)


@pytest.mark.parametrize("kind", compare_probabilities.KINDS)
def test_probabilities_accept_float32_arithmetic(kind: str) -> None:
    p = probabilities(kind)
    compare_probabilities.assert_mean_of_probabilities(model_chroma(p), p, BINS, temperature=T)


@of_every_arithmetic
@pytest.mark.parametrize("bug", ["an epsilon", "half precision", "the base of logits"])
def test_probabilities_reject(bug: str, arithmetic: compare.Arithmetic) -> None:
    p = probabilities("sparse")
    with pytest.raises(AssertionError, match="chroma"):
        compare_probabilities.assert_mean_of_probabilities(
            model_chroma(p, bug), p, BINS, temperature=T, arithmetic=arithmetic
        )


def test_the_confidence_of_probabilities_rejects_a_share_of_a_thousandth_of_a_percent() -> None:
    p = probabilities("plain").astype(np.float64)
    top = p.max(axis=0) / p.sum(axis=0)
    second, first = np.partition(p, N - 2, axis=0)[-2:]
    compare_probabilities.assert_confidence_of_probabilities(top, first / second, p)
    for factors in ((1 + 3e-5, 1), (1, 1 + 3e-5)):
        with pytest.raises(AssertionError):
            compare_probabilities.assert_confidence_of_probabilities(top * factors[0], first / second * factors[1], p)


def targets() -> tuple[Any, ...]:
    """Logits, labels of which one comes twice, shares and weights; a third of the pixels does not count."""
    rng = np.random.default_rng(2)
    labels, shares = rng.integers(0, N, (2, K, 40)), rng.random((2, K, 40))
    labels[:, 1] = labels[:, 0]
    shares = (shares / shares.sum(axis=1, keepdims=True)).astype(F)
    logits = 3 * rng.standard_normal((2, N, 40))
    return logits.astype(F), labels, shares, (rng.random((2, 40)) * (rng.random((2, 40)) < 0.7)).astype(F)


def model_loss(logits: Any, labels: Any, shares: Any, weights: Any, bug: str = "") -> tuple[Any, Any]:
    """What a correct float32 kernel makes of soft targets: the losses, and the gradient of their sum."""
    labels = labels if bug != "another bin" else (labels + 1) % N
    shares = shares if bug != "equal shares" else np.full_like(shares, 1 / K)
    target = compare_loss.dense_targets(N, labels, shares).astype(F)
    if bug == "the second of two":
        np.put_along_axis(target, labels[:, :1], shares[:, 1:2], axis=1)
    below = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(below)
    mass, total = target.sum(axis=1), e.sum(axis=1)
    losses = weights * (mass * np.log(total) - (target * below).sum(axis=1))
    weights = weights if bug != "no weights" else np.ones_like(weights)
    gradient = weights[:, None] * (e * (mass / total)[:, None] - target)
    return losses, gradient * F(1 + 1e-5) if bug == "a factor" else gradient


@of_every_arithmetic
@pytest.mark.parametrize("bug", ["", "another bin", "equal shares", "the second of two", "no weights", "a factor"])
def test_losses_reject(bug: str, arithmetic: compare.Arithmetic) -> None:
    logits, labels, shares, weights = targets()
    losses, gradient = model_loss(logits, labels, shares, weights, bug)
    arguments = logits, compare_loss.dense_targets(N, labels, shares), weights
    if bug:
        with pytest.raises(AssertionError):
            compare_loss.assert_losses_close(losses, gradient, *arguments, added=K, arithmetic=arithmetic)
    else:
        compare_loss.assert_losses_close(losses, gradient, *arguments, added=K, arithmetic=arithmetic)
