"""The loss with soft and dense targets by every backend: shares, layouts, many bins, and pixels that do not count."""

from __future__ import annotations

from typing import Any, NamedTuple

import compare
import compare_loss
import gpu_cases
import numpy as np
import pytest
import torch
from strategies import place

from fastcolor.loss import weighted_cross_entropy

SHAPES = [
    (2, 32, 20, 24),
    (1, 313, 3, 97),
    (3, 33, 9, 9),
    (2, 5, 5, 30),
    (1, 1024, 17, 8),
    (1, 32, 1, 1),
    (2, 17, 4, 3),
]
LAYOUTS = ("planar", "channels_last", "sliced")
K = 5
pytestmark = pytest.mark.ops("weighted_cross_entropy")
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


class Problem(NamedTuple):
    """Logits, labels and shares of k neighbours, weights and a mask, on the CPU."""

    logits: Any
    labels: Any
    shares: Any
    weights: Any
    mask: Any


def problem(shape: tuple[int, ...], dtype: str = "float32", k: int = K, spread: float = 3.0) -> Problem:
    generator = torch.Generator().manual_seed(sum(shape))
    pixels, soft = (shape[0], *shape[2:]), (shape[0], k, *shape[2:])
    shares = torch.rand(soft, generator=generator) + 0.01
    mask = torch.rand(pixels, generator=generator) > 0.3
    mask.view(-1)[0] = True
    return Problem(
        (spread * torch.randn(shape, generator=generator)).to(getattr(torch, dtype)),
        torch.randint(0, shape[1], soft, generator=generator),  # the same bin twice, here and there
        shares / shares.sum(dim=1, keepdim=True),
        torch.rand(pixels, generator=generator) + 0.1,
        mask,
    )


def arranged(tensor: Any, layout: str) -> Any:
    if layout == "channels_last":
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "sliced":
        longer = torch.zeros(*tensor.shape[:-1], tensor.shape[-1] + 3, dtype=tensor.dtype)
        longer[..., 2:-1] = tensor
        return longer[..., 2:-1]
    return tensor


def run(backend: str, logits: Any, *targets: Any, reduction: str = "none") -> tuple[Any, Any]:
    """The loss of labels, weights, mask and shares, and the gradient of its sum."""
    device = "cpu" if backend in ("numba", "cuda-host") else "cuda"
    x, *others = (None if tensor is None else place(tensor.detach(), device) for tensor in (logits, *targets))
    x.requires_grad_()
    with gpu_cases.loss_by(backend):
        loss = weighted_cross_entropy(x, *others, reduction=reduction)
        loss.sum().backward()
    return loss.detach().cpu(), x.grad.cpu()


def dense_of(given: Problem) -> Any:
    return torch.zeros(given.logits.shape).scatter_add(1, given.labels, given.shares)


@shapes
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("form", ["soft", "dense"])
def test_losses_and_gradient(backend: str, form: str, dtype: str, layout: str, shape: Any) -> None:
    given = problem(shape, dtype)
    logits, dense = arranged(given.logits, layout), dense_of(given)
    if form == "soft":
        labels, shares = (arranged(tensor, layout) for tensor in (given.labels, given.shares))
        target, added = compare_loss.dense_targets(shape[1], labels, shares), K
    else:
        labels, shares, target, added = arranged(dense, layout), None, compare.as_float64(dense), shape[1]
    losses, gradient = run(backend, logits, labels, given.weights, given.mask, shares)
    weights, arithmetic = given.weights * given.mask, compare.arithmetic_of(backend)
    compare_loss.assert_losses_close(losses, gradient, logits, target, weights, added=added, arithmetic=arithmetic)
    if layout != "sliced":
        assert gradient.stride() == logits.stride()


@shapes
def test_dense_is_soft_is_hard(backend: str, shape: Any) -> None:
    """One neighbour of share 1 is a hard label; shares of every bin are those of the k that are not 0."""
    given = problem(shape, k=1)
    hard = run(backend, given.logits, given.labels[:, 0], given.weights, given.mask)
    soft = run(backend, given.logits, given.labels, given.weights, given.mask, given.shares)
    dense = run(backend, given.logits, dense_of(given), given.weights, given.mask)
    for one, other, third in zip(hard, soft, dense, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=2e-6)
        torch.testing.assert_close(third, one, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_labels_and_shares_may_lie_otherwise_than_logits(backend: str, layout: str) -> None:
    given = problem((2, 33, 9, 11))
    rest = given.weights, given.mask
    expected = run(backend, given.logits, given.labels, *rest, given.shares)
    other = "planar" if layout == "channels_last" else "channels_last"
    logits, labels, shares = (
        arranged(tensor, how)
        for tensor, how in ((given.logits, layout), (given.labels, other), (given.shares, "sliced"))
    )
    for one, two in zip(run(backend, logits, labels, *rest, shares), expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)
    dense = dense_of(given)
    expected = run(backend, given.logits, dense, *rest)
    for one, two in zip(run(backend, logits, arranged(dense, other), *rest), expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("form", ["hard", "soft", "dense"])
@pytest.mark.parametrize("shape", [(2, 33, 9, 11), (1, 313, 5, 8), (2, 5, 2, 3)], ids=str)
def test_what_does_not_count_is_not_looked_at(backend: str, shape: Any, form: str, layout: str) -> None:
    """NaN and infinite logits, NaN shares, labels that are no bins: as if all were zero there, to the bit."""
    given = problem(shape)
    off = ~given.mask
    here = off[:, None]
    spoiled = arranged(torch.where(here, torch.tensor([torch.nan, torch.inf])[torch.arange(shape[1]) % 2].view(
        1, -1, 1, 1), given.logits), layout)  # fmt: skip
    clean = arranged(torch.where(here, 0.0, given.logits), layout)
    labels, shares = torch.where(here, 70000, given.labels), torch.where(here, torch.nan, given.shares)
    if form == "hard":
        one, two = (clean, given.labels[:, 0]), (spoiled, labels[:, 0])
    elif form == "soft":
        one, two = (clean, given.labels), (spoiled, labels)
    else:
        dense = dense_of(given)
        one, two = (clean, dense), (spoiled, torch.where(here, torch.nan, dense))
    of_soft = ((given.shares,), (shares,)) if form == "soft" else ((), ())
    expected = run(backend, *one, given.weights, given.mask, *of_soft[0])
    losses, gradient = run(backend, *two, given.weights, given.mask, *of_soft[1])
    assert torch.equal(losses, expected[0])
    assert torch.equal(gradient, expected[1])
    assert not losses[off].any()
    assert not gradient.movedim(1, -1)[off].any()


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("size", [1e37, 1e30, 1e4])
@pytest.mark.parametrize("form", ["hard", "soft", "dense"])
def test_logits_of_any_size_have_a_finite_loss(backend: str, form: str, size: float, layout: str) -> None:
    given = problem((1, 313, 5, 8))
    logits = arranged(size * torch.sign(given.logits), layout)
    targets = {
        "hard": (given.labels[:, 0], given.weights, given.mask),
        "soft": (given.labels, given.weights, given.mask, given.shares),
        "dense": (dense_of(given), given.weights, given.mask),
    }[form]
    target, added = dense_of(given), 313 if form == "dense" else K
    if form == "hard":
        target = torch.zeros(given.logits.shape).scatter(1, given.labels[:, :1], 1.0)
    losses, gradient = run(backend, logits, *targets)
    assert torch.isfinite(losses).all()
    compare_loss.assert_losses_close(
        losses, gradient, logits, compare.as_float64(target), given.weights * given.mask, added=added,
        arithmetic=compare.arithmetic_of(backend),
    )  # fmt: skip


def test_a_nan_that_counts_is_seen(backend: str) -> None:
    given = problem((1, 40, 6, 8))
    given.logits[0, 7, 2, 3] = torch.nan
    given.mask[0, 2, 3] = True
    losses, gradient = run(backend, given.logits, given.labels, given.weights, given.mask, given.shares)
    wrong = torch.zeros(1, 6, 8, dtype=torch.bool)
    wrong[0, 2, 3] = True
    assert torch.equal(losses.isnan(), wrong)
    assert torch.equal(gradient.isnan().any(dim=1), wrong)


def test_shares_need_not_add_up_to_one(backend: str) -> None:
    """Of any sum, 0 as well; a pixel without a target has no loss and no gradient."""
    given = problem((2, 40, 6, 8))
    factor = torch.arange(48.0).view(1, 1, 6, 8) / 10
    shares = given.shares * factor
    losses, gradient = run(backend, given.logits, given.labels, given.weights, given.mask, shares)
    target = compare_loss.dense_targets(40, given.labels, shares)
    weights, arithmetic = given.weights * given.mask, compare.arithmetic_of(backend)
    compare_loss.assert_losses_close(losses, gradient, given.logits, target, weights, added=K, arithmetic=arithmetic)
    assert not losses[:, 0, 0].any()
    assert not gradient[:, :, 0, 0].any()


@pytest.mark.parametrize("form", ["hard", "soft", "dense"])
@pytest.mark.parametrize("shape", [(2, 33, 5, 6), (1, 6, 2, 3)], ids=str)
def test_float64_is_the_reference(shape: Any, form: str) -> None:
    backend = "numba"  # on a GPU torch's own operations take float64
    given = problem(shape, "float64")
    dense = torch.zeros(shape, dtype=torch.float64).scatter_add(1, given.labels, given.shares.double())
    if form == "hard":
        labels, shares = given.labels[:, 0], None
        dense = torch.zeros(shape, dtype=torch.float64).scatter(1, given.labels[:, :1], 1.0)
    else:
        labels, shares = (given.labels, given.shares) if form == "soft" else (dense, None)
    losses, gradient = run(backend, given.logits, labels, given.weights.double(), given.mask, shares)
    x = given.logits.clone().requires_grad_()
    expected = torch.logsumexp(x, 1) * dense.sum(1) - (dense * x).sum(1)
    expected = expected * given.weights.double() * given.mask
    expected.sum().backward()
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, x.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spread", [0.0, 20.0])
def test_the_sum_is_that_of_the_losses(backend: str, spread: float) -> None:
    given = problem((2, 313, 3, 97), spread=spread)
    targets = given.labels, given.weights, given.mask, given.shares
    losses, gradient = run(backend, given.logits, *targets)
    total, other = run(backend, given.logits, *targets, reduction="sum")
    np.testing.assert_allclose(float(total), losses.double().sum(), rtol=1e-6)
    torch.testing.assert_close(other, gradient, rtol=1e-6, atol=1e-9)
