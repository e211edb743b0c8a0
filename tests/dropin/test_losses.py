"""Losses as they are printed, and gradients as they train: each with the project's own divisor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.dropin import caffe, ct2, inputs, pytorch529, time0o
from tests.dropin.page import program

SIZE = (inputs.TARGETS, inputs.TARGETS)
# A share errs by at most 1.6e-4 (inputs.share_bound on these pictures), and an entry of the gradient by as much of its
# pixel's weight; the largest is .3 of the largest weight, or more. What comes is a hundredth of that.
SHARES = 1.6e-4 / 0.3
FLOAT32 = 1e-5  # of sums over 1,280 pixels, and of each softmax


def gradient(loss: Tensor, logits: Tensor) -> np.ndarray:
    return torch.autograd.grad(loss, logits)[0].double().numpy()


def leaves(x: Tensor) -> tuple[Tensor, Tensor]:
    """For them in float64, for us in float32."""
    return x.double().requires_grad_(), x.clone().requires_grad_()


def assert_same_gradient(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Relative to the largest entry, which is a pixel's weight over the divisor."""
    assert np.abs(ours - theirs).max() <= SHARES * np.abs(theirs).max()


@pytest.mark.parametrize("project", ["caffe", "time0o"])
def test_gradients_of_a_sum_over_the_images(project: str) -> None:
    target, weights = (
        caffe.targets(inputs.photos(), inputs.centers(), inputs.prior())
        if project == "caffe"
        else time0o.targets(inputs.photos(), SIZE, inputs.centers(), inputs.prior())
    )
    theirs, ours = leaves(inputs.logits())
    their_loss = {"caffe": caffe, "time0o": time0o}[project].loss(caffe.Rebalance.apply(theirs, weights), target)
    targets = getattr(program(), f"{project}_targets")(inputs.photos())
    our_loss = getattr(program(), f"{project}_loss")(ours, *targets)
    assert_same_gradient(gradient(our_loss, ours), gradient(their_loss, theirs))


def test_what_caffe_prints_is_ours_with_weights_of_one() -> None:
    target, _ = caffe.targets(inputs.photos(), inputs.centers(), inputs.prior())
    labels, shares, _ = program().caffe_targets(inputs.photos())
    ours = program().caffe_loss(inputs.logits(), labels, shares, torch.ones_like(shares[:, 0]))
    assert ours.item() == pytest.approx(caffe.loss(inputs.logits().double(), target).item(), rel=FLOAT32)


def test_what_time0o_prints_is_ours_less_the_entropy() -> None:
    target, _ = time0o.targets(inputs.photos(), SIZE, inputs.centers(), inputs.prior())
    labels, shares, _ = program().time0o_targets(inputs.photos())
    ours = program().time0o_printed(inputs.logits(), labels, shares)
    assert ours.item() == pytest.approx(time0o.loss(inputs.logits().double(), target).item(), rel=FLOAT32)


def test_entropies_of_soft_targets() -> None:
    """Divergence and cross entropy are 1.2 to 1.5 nats a pixel apart, whatever the network says."""
    for neighbors in (5, 10):
        ab = caffe.chroma(inputs.photos()[3:4])
        target = torch.from_numpy(caffe.dense(*caffe.soft(ab, inputs.centers(), neighbors), 313))
        assert 1.2 < caffe.entropy(target).item() / target[:, 0].numel() < 1.5


def test_the_529_have_the_same_loss_and_gradient() -> None:
    labels = pytorch529.labels(pytorch529.chroma(inputs.photos()))
    theirs, ours = leaves(inputs.logits(529))
    their_loss = pytorch529.loss(theirs, labels)
    our_loss = program().pytorch_loss(ours, *program().pytorch_targets(inputs.photos()))
    assert our_loss.item() == pytest.approx(their_loss.item(), rel=FLOAT32)
    assert_same_gradient(gradient(our_loss, ours), gradient(their_loss, theirs))


def forbidden(x: Tensor) -> Tensor:
    """The logits, -inf where a quarter of L forbids a bin: about half of them."""
    table = torch.rand(4, 313, generator=torch.Generator().manual_seed(9)) < 0.5
    return x.masked_fill(~ct2.allowed(inputs.few(), table), -torch.inf)


@pytest.mark.parametrize("masked", [False, True], ids=["all bins", "forbidden bins"])
def test_ct2_has_the_same_loss_and_gradient(masked: bool) -> None:
    target, weights = ct2.targets(inputs.few(), inputs.centers(), inputs.prior())
    x = inputs.logits()
    theirs, ours = leaves(forbidden(x) if masked else x)
    their_loss = ct2.loss(caffe.Rebalance.apply(theirs, weights), target)
    labels, shares, our_weights = program().ct2_targets(inputs.few())
    our_loss = program().ct2_loss(ours, labels, shares, our_weights)
    assert_same_gradient(gradient(our_loss, ours), gradient(their_loss, theirs))
    printed = program().ct2_loss(ours, labels, shares, torch.ones_like(our_weights)) - (
        caffe.entropy(shares.double()) / our_weights.numel()
    )
    assert printed.item() == pytest.approx(their_loss.item(), rel=SHARES)
