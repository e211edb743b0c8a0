"""torch.func's transforms: derivatives are the reference's, vmap is a loop, and what there is not is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import compare
import gpu_cases
import numpy as np
import pytest
import strategies as make
import torch
from fastcolor.kernels import registry
from torch.func import grad, grad_and_value, hessian, jacrev, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import fastcolor

N = 8
BINS = make.make_bins(np.random.default_rng(0), N, 5)
T = 0.38
EXACT = {"rtol": 0, "atol": 0}
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch, where vmap is a loop


def images(backend: str, *batch: int, seed: int = 0) -> torch.Tensor:
    """Logits (*batch, N, 2, 3) where the backend runs."""
    x = 3 * torch.randn(*batch, N, 2, 3, generator=torch.Generator().manual_seed(seed))
    return x.to("cuda" if "cuda" in registry.BACKENDS[backend].devices else "cpu")


def mean_by(backend: str) -> Callable[..., Any]:
    return lambda x: fastcolor.annealed_mean(x, BINS, temperature=T, backend=backend)


def check_gradient(backend: str, gradient: Any, upstream: Any, x: Any) -> None:
    arithmetic = compare.arithmetic_of(backend)
    compare.assert_annealed_gradient_close(gradient, upstream, x, BINS, temperature=T, arithmetic=arithmetic)


@pytest.mark.ops("annealed_mean", "annealed_mean_gradient")
def test_the_annealed_mean_in_reverse_mode(backend: str) -> None:
    """Row by row of the Jacobian, each with the bound of a gradient."""
    x, mean = images(backend), mean_by(backend)
    for jacobian in (jacrev(mean)(x), jacrev(mean, chunk_size=5)(x)):
        assert jacobian.shape == (2, 2, 3, N, 2, 3)
        for index in np.ndindex(2, 2, 3):
            upstream = torch.zeros(2, 2, 3)
            upstream[index] = 1
            check_gradient(backend, jacobian[index], upstream, x)
    chroma, backward = vjp(mean, x)
    torch.testing.assert_close(chroma, mean(x), **EXACT)
    check_gradient(backend, backward(chroma)[0], chroma, x)


@pytest.mark.ops("annealed_mean", "annealed_mean_gradient")
def test_the_annealed_mean_in_transforms_within_each_other(backend: str) -> None:
    """Each image of a batch has the gradient ``2 chroma`` upstream, by whatever way."""
    x, mean = images(backend, 3), mean_by(backend)
    power = lambda z: mean(z).square().sum()  # noqa: E731
    leaf = x.clone().requires_grad_()
    ways = {
        "vmap of grad": vmap(grad(power))(x),
        "vmap of grad, batch last": vmap(grad(power), in_dims=-1)(x.movedim(0, -1)),
        "grad of vmap": grad(lambda z: vmap(power)(z).sum())(x),
        "grad of vmap of vmap": grad(lambda z: vmap(vmap(power))(z[None]).sum())(x),
        "backward of vmap": torch.autograd.grad(vmap(power)(leaf).sum(), leaf)[0],
        "in graphs": make_fx(vmap(grad(power)))(-x)(x),
    }
    for gradients in ways.values():
        for k in range(len(x)):
            check_gradient(backend, gradients[k], 2 * mean(x[k]), x[k])


@pytest.mark.ops("weighted_cross_entropy")
@pytest.mark.arrays("dtype", lambda kind: ["float32"] if kind.startswith("torch") else [])
def test_the_loss_in_transforms(backend: str, kind: str, dtype: str) -> None:
    x = images(backend, 3)
    labels = torch.arange(18).reshape(3, 2, 3).remainder(N).to(x.device)
    weights = torch.linspace(0.1, 1, N).to(x)

    def loss(x: Any, labels: Any) -> Any:
        return fastcolor.weighted_cross_entropy(x[None], labels[None], weights)

    def check(value: Any, gradient: Any, k: int) -> None:
        arithmetic = compare.arithmetic_of(backend)
        compare.assert_loss_close(
            value, gradient, x[k][None], labels[k][None], weights[labels[k]][None], arithmetic=arithmetic
        )

    with gpu_cases.loss_by(backend):
        values = vmap(loss)(x, labels)
        for gradients in (
            vmap(grad(loss))(x, labels),
            grad(lambda z: vmap(loss)(z, labels).sum())(x),
            make_fx(vmap(grad(loss)))(-x, labels)(x, labels),
        ):
            for k in range(3):
                check(values[k], gradients[k][None], k)
        gradient, value = grad_and_value(loss)(x[0], labels[0])
        check(value, gradient[None], 0)
        check(value, jacrev(loss)(x[0], labels[0])[None], 0)
        (doubled,) = vjp(lambda z: loss(z, labels[0]), x[0])[1](torch.tensor(2.0).to(x))
        check(value, doubled[None] / 2, 0)
        assert torch.equal(vmap(loss, in_dims=(None, 0))(x[0], labels)[0], value)


@pytest.mark.ops("annealed_mean", "decode")
def test_vmap_is_a_loop(backend: str) -> None:
    x = images(backend, 3)
    calls: tuple[Callable[..., Any], ...] = (
        mean_by(backend),
        lambda z: fastcolor.annealed_mean(z, BINS, temperature=0, backend=backend),
        lambda z: fastcolor.decode(z, z[0].sigmoid(), BINS, backend=backend),
    )
    for call in calls:
        torch.testing.assert_close(vmap(call)(x), torch.stack([call(one) for one in x]), **EXACT)
    with pytest.raises(ValueError, match=r"^vmap: expected a batch of at least one, got none"):
        vmap(calls[0])(x[:0])


def test_a_batch_of_gradients_through_the_eager_loss() -> None:
    """torch.autograd.grad(is_grads_batched=True), as vectorized Jacobians use it."""
    x = images("numba", 1).requires_grad_()
    labels, weights = torch.zeros(1, 2, 3, dtype=torch.uint8), torch.ones(N)
    loss = fastcolor.weighted_cross_entropy(x, labels, weights)
    (once,) = torch.autograd.grad(loss, x, retain_graph=True)
    (batch,) = torch.autograd.grad(loss, x, torch.tensor([1.0, 2.0]), is_grads_batched=True)
    torch.testing.assert_close(batch, torch.stack([once, 2 * once]), **EXACT)


def test_what_there_is_not_is_told() -> None:
    x, labels = images("numba"), torch.zeros(1, 2, 3, dtype=torch.int64)
    squares: dict[str, Callable[..., Any]] = {
        "annealed_mean": lambda z: mean_by("numba")(z).square().sum(),
        "weighted_cross_entropy": lambda z: fastcolor.weighted_cross_entropy(z[None], labels, torch.ones(N)).square(),
    }
    for name, call in squares.items():
        for twice in (jacrev(jacrev(call)), grad(lambda z, call=call: grad(call)(z).square().sum())):
            with pytest.raises(RuntimeError, match=f"^{name}: expected one derivative, got a second"):
                twice(x)
        with pytest.raises(ValueError, match=f"^logits: expected a tensor without a tangent.*{name} has a first"):
            hessian(call)(x)
    with pytest.raises(ValueError, match=r"^temperature: expected T > 0"):
        grad(lambda z: vmap(lambda y: fastcolor.annealed_mean(y, BINS, temperature=0))(z).sum())(x[None])
    with pytest.raises(ValueError, match=r"^logits: expected a tensor without gradient, .* confidence has none"):
        grad(lambda z: vmap(lambda y: fastcolor.confidence(y)[0])(z).sum())(x[None])
