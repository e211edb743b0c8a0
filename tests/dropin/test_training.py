"""Fifty steps of a tiny network: the loss goes down the same way with their code and with ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor, nn

from tests.dropin import caffe, ct2, inputs, pytorch529, time0o
from tests.dropin.page import program

Step = Callable[[Tensor], tuple[Tensor, Tensor]]  # logits to what is printed, and what is trained
STEPS = 50
# Gradients agree to about 1e-6 on these pictures (test_losses.py bounds them), losses to the rounding of float32. Fifty
# steps of a training that does not swing add this up and do not amplify it.
BOUND = 1e-5


def network(n: int) -> nn.Module:
    """Gray to logits, pixel by pixel."""
    torch.manual_seed(3)
    body = nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()
    return nn.Sequential(*body, nn.Conv2d(16, n, 1))


def losses(n: int, lr: float, step: Step) -> np.ndarray:
    """What `step(logits)` prints, while the network is trained by the other thing it gives."""
    model = network(n)
    light = torch.from_numpy(rgb2lab(inputs.few())[..., 0]).float()[:, None] / 100
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    printed = []
    for _ in range(STEPS):
        value, trained = step(model(light))
        optimizer.zero_grad()
        trained.backward()
        optimizer.step()
        printed.append(value.item())
    return np.array(printed)


def rebalanced(loss: Callable[[Tensor, Tensor], Tensor], target: Tensor, weights: Tensor) -> Step:
    """Their step: the printed value is the one whose backward has the weights in it."""

    def step(x: Tensor) -> tuple[Tensor, Tensor]:
        value = loss(caffe.Rebalance.apply(x, weights.float()), target.float())
        return value, value

    return step


def caffes() -> tuple[Step, Step]:
    labels, shares, weights = program().caffe_targets(inputs.photos())
    ones, loss = torch.ones_like(weights), program().caffe_loss
    theirs = rebalanced(caffe.loss, *caffe.targets(inputs.photos(), inputs.centers(), inputs.prior()))
    return theirs, lambda x: (loss(x.detach(), labels, shares, ones), loss(x, labels, shares, weights))


def time0os() -> tuple[Step, Step]:
    labels, shares, weights = program().time0o_targets(inputs.photos())
    size = inputs.TARGETS, inputs.TARGETS
    theirs = rebalanced(time0o.loss, *time0o.targets(inputs.photos(), size, inputs.centers(), inputs.prior()))
    printed, loss = program().time0o_printed, program().time0o_loss
    return theirs, lambda x: (printed(x.detach(), labels, shares), loss(x, labels, shares, weights))


def ct2s() -> tuple[Step, Step]:
    labels, shares, weights = program().ct2_targets(inputs.few())
    entropy = caffe.entropy(shares) / weights.numel()
    ones, loss = torch.ones_like(weights), program().ct2_loss
    theirs = rebalanced(ct2.loss, *ct2.targets(inputs.few(), inputs.centers(), inputs.prior()))
    return theirs, lambda x: (loss(x.detach(), labels, shares, ones) - entropy, loss(x, labels, shares, weights))


def pytorchs() -> tuple[Step, Step]:
    targets = program().pytorch_targets(inputs.photos())
    labels = pytorch529.labels(pytorch529.chroma(inputs.photos()))

    def plain(loss: Callable[[Tensor], Tensor]) -> Step:
        return lambda x: (loss(x).detach(), loss(x))

    return plain(lambda x: pytorch529.loss(x, labels)), plain(lambda x: program().pytorch_loss(x, *targets))


@pytest.mark.parametrize(
    ("ways", "n", "lr"),
    [(caffes, 313, 2e-4), (time0os, 313, 2e-4), (ct2s, 313, 1e-1), (pytorchs, 529, 3e-1)],
    ids=["caffe", "time0o", "ct2", "pytorch529"],
)
def test_both_ways_lower_the_same_loss(ways: Callable[[], tuple[Step, Step]], n: int, lr: float) -> None:
    theirs, ours = (losses(n, lr, step) for step in ways())
    assert ours[-1] < 0.9 * ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=BOUND)
