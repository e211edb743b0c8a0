"""The distance of the mean color, in one process or two, and depthwise convolutions in float32: against plain forms."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.network.config import UNetConfig  # noqa: E402
from fastcolor.network.efficientnet import EfficientNetLite0  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.dataset import Sample, SoftSample  # noqa: E402
from fastcolor.training.distance import mean_distance  # noqa: E402
from fastcolor.training.distributed import Team  # noqa: E402
from fastcolor.training.fast import spare_depthwise  # noqa: E402
from fastcolor.training.trainer import Trainer  # noqa: E402

BINS = ColorBins.default()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(2, BINS.n, 4, 6, generator=source)
    labels = torch.randint(0, BINS.n, (2, 4, 6), generator=source)
    return logits, labels, torch.rand(2, 4, 6, generator=source) < 0.7


def plain(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    colors = torch.tensor(BINS.colors, dtype=torch.float64)
    mean = torch.einsum("nkhw,kc->nhwc", logits.double().softmax(1), colors)
    far = (mean - colors[labels]).square().sum(-1)
    return ((far + 3e-3**2).sqrt() - 3e-3)[mask].mean()


def test_distance_and_its_gradient() -> None:
    logits, labels, mask = batch()
    logits.requires_grad_()
    expected = plain(logits, labels, mask)
    (want,) = torch.autograd.grad(expected, logits)
    found = mean_distance(logits, labels, mask, BINS)
    (got,) = torch.autograd.grad(found, logits)
    # float32 against float64: 32 terms of size 0.3 at most, whose distance is divided by no less than 3e-3
    assert found.item() == pytest.approx(expected.item(), abs=2e-5)
    np.testing.assert_allclose(got, want, atol=2e-5 / mask.sum().item() * 10)
    wrong = plain(logits, labels.roll(1), mask)
    assert abs(wrong.item() - expected.item()) > 1e-3  # what a wrong label would give


@pytest.mark.parametrize("soft", [False, True])
def test_a_run_adds_it(soft: bool) -> None:
    logits, labels, mask = batch()
    config = TrainConfig(network=UNetConfig(down=(4, 8), up=(4,), head=4), soft=2 if soft else 0)
    both = torch.stack([labels, labels.roll(1)], 1)
    shares = torch.stack(
        [torch.full_like(labels, 0.75, dtype=torch.float32), torch.full_like(labels, 0.25, dtype=torch.float32)], 1
    )
    luma, weights = torch.rand(2, 1, 4, 6), torch.ones(2, 4, 6)
    sample = SoftSample(luma, both, weights, mask, shares) if soft else Sample(luma, labels, weights, mask)
    losses = [
        Trainer(replace(config, distance=weight), BINS, torch.device("cpu"), Team()).loss(lambda x: logits, sample)
        for weight in (0.0, 5.0)
    ]
    assert (losses[1] - losses[0]).item() == pytest.approx(5 * plain(logits, labels, mask).item(), rel=1e-4)


def test_validation_is_of_the_cross_entropy_alone() -> None:
    """So that runs with another weight of the distance, or one that goes on with another, can be compared."""
    _, labels, mask = batch()
    sample = Sample(torch.rand(2, 1, 4, 6), labels, torch.ones(2, 4, 6), mask)
    config = TrainConfig(network=UNetConfig(down=(4, 8), up=(4,), head=4))
    made = [Trainer(replace(config, distance=weight), BINS, torch.device("cpu"), Team()) for weight in (0.0, 5.0)]
    assert made[0].validate([sample]) == made[1].validate([sample])
    assert made[0].loss(made[0].average, sample) != made[1].loss(made[1].average, sample)


def test_of_several_processes_it_is_the_joint_loss() -> None:
    """Two processes, whose class weights and masks have other shares, add up to what one of both samples has."""

    class Half(Team):
        """A process of two, that knows the whole batch: what it adds up has the other's in it, by their order."""

        def total(self, value: torch.Tensor) -> torch.Tensor:
            return next(totals)

    logits, labels, mask = batch()
    mask[1, :2] = False
    weights = torch.stack([torch.full((4, 6), 0.2), torch.full((4, 6), 3.0)])
    config = TrainConfig(network=UNetConfig(down=(4, 8), up=(4,), head=4), distance=5.0)
    whole = Sample(torch.rand(2, 1, 4, 6), labels, weights, mask)
    expected = Trainer(config, BINS, torch.device("cpu"), Team()).loss(lambda x: logits, whole)
    halves = []
    for rank in range(2):
        totals = iter([(weights * mask).sum(), mask.sum().float()])
        trainer = Trainer(config, BINS, torch.device("cpu"), Team())
        trainer.team = Half(rank, 2)
        one = slice(rank, rank + 1)
        halves.append(trainer.loss(lambda x, one=one: logits[one], Sample(*(part[one] for part in whole))))
    assert (sum(halves) / 2).item() == pytest.approx(expected.item(), rel=1e-5)


def test_depthwise_in_float32_is_the_same_network() -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0().train()
    spared = copy.deepcopy(network)
    spare_depthwise(spared)
    changed = [layer for layer in spared.modules() if isinstance(layer, nn.Conv2d) and "forward" in vars(layer)]
    strided = [layer for layer in changed if max(layer.stride) > 1]
    assert len(strided) == 4
    assert len(changed) == 4 + 7  # the 5x5 of stride 1: one, three, three
    luma = torch.rand(2, 1, 64, 64)
    assert torch.equal(network(luma)[0], spared(luma)[0])  # without autocast nothing differs
    with torch.autocast("cpu", torch.bfloat16):
        deepest = spared(luma)[0]
        assert deepest.dtype == torch.bfloat16
        x = torch.rand(1, changed[0].in_channels, 8, 8)
        assert changed[0](x).dtype == torch.float32
    deepest.float().sum().backward()
    assert all(parameter.grad is not None for parameter in spared.parameters())
