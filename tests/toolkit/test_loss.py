"""weighted_cross_entropy: equal to the reference, differentiable, in any layout, without a second n-wide array."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import compare  # noqa: E402
import gpu_cases  # noqa: E402
from fastcolor.kernels.common.host import bfloat16_bits  # noqa: E402
from strategies import place  # noqa: E402

from fastcolor import reference  # noqa: E402
from fastcolor.arrays import targets  # noqa: E402
from fastcolor.loss import weighted_cross_entropy  # noqa: E402

SHAPES = [(2, 32, 20, 24), (1, 32, 7, 5), (3, 33, 9, 9), (2, 5, 30, 30), (2, 64, 1, 40), (1, 32, 1, 1), (2, 17, 4, 4)]
# float32: exp2 and log2 are good to about 1e-7, and n - 1 additions round; bfloat16 gradients are rounded to 8 bits.
GRADIENT = {torch.float32: 1e-6, torch.bfloat16: 2.0**-8, torch.float64: 1e-13}
LOSS = {torch.float32: 1e-6, torch.bfloat16: 1e-6, torch.float64: 1e-13}


def case(shape, dtype=torch.float32, layout="planar", spread=3.0):
    """Logits in a layout, labels, weights and mask."""
    generator = torch.Generator().manual_seed(sum(shape))
    logits = (spread * torch.randn(shape, generator=generator)).to(dtype)
    if layout == "channels_last":
        logits = logits.contiguous(memory_format=torch.channels_last)
    elif layout == "sliced":
        longer = torch.zeros(*shape[:-1], shape[-1] + 3, dtype=dtype)
        longer[..., 2:-1] = logits
        logits = longer[..., 2:-1]
    pixels = (shape[0], *shape[2:])
    labels = torch.randint(0, shape[1], pixels, generator=generator)
    weights = torch.rand(pixels, generator=generator) + 0.1
    mask = torch.rand(pixels, generator=generator) > 0.3
    mask.view(-1)[0] = True
    return logits.requires_grad_(), labels, weights, mask


def expected(logits, labels, weights, mask=None):
    arrays = [logits.detach().double().numpy(), labels.numpy(), weights.numpy(), None if mask is None else mask.numpy()]
    return reference.weighted_cross_entropy(*arrays), reference.weighted_cross_entropy_gradient(*arrays)


@pytest.mark.parametrize("layout", ["planar", "channels_last", "sliced"])
@pytest.mark.parametrize("dtype", list(LOSS), ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_loss_and_gradient_are_the_references(shape, dtype, layout):
    logits, labels, weights, mask = case(shape, dtype, layout)
    loss = weighted_cross_entropy(logits, labels.to(torch.uint8), weights, mask)
    loss.backward()
    value, gradient = expected(logits, labels, weights, mask)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(value, rel=LOSS[dtype], abs=LOSS[dtype])
    # Relative to the greatest possible entry, the pixel's share of the weights.
    share = float((weights * mask).max() / (weights * mask).sum())
    assert np.abs(logits.grad.double().numpy() - gradient).max() <= GRADIENT[dtype] * share
    if layout != "sliced":
        assert logits.grad.stride() == logits.stride()


def loss_dtypes(kind):
    """Those that kernels take, on the device of the kind; the loss is torch's alone."""
    return {"torch": ["float32", "bfloat16"], "torch-cuda": ["float32", "bfloat16", "float16"]}.get(kind, [])


@pytest.mark.ops("weighted_cross_entropy")
@pytest.mark.arrays("dtype", loss_dtypes)
@pytest.mark.parametrize("layout", ["planar", "channels_last", "sliced"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_backend_gives_the_references_loss(backend, kind, dtype, shape, layout):
    """Within the bound that is derived in compare.assert_loss_close."""
    logits, labels, weights, mask = case(shape, getattr(torch, dtype), layout)
    device = "cuda" if kind == "torch-cuda" else "cpu"
    there = [place(array.detach(), device) for array in (logits, labels, weights, mask)]
    there[0].requires_grad_()
    with gpu_cases.loss_by(backend):
        loss = weighted_cross_entropy(*there)
        loss.backward()
    assert loss.dtype == torch.float32
    if layout != "sliced":
        assert there[0].grad.stride() == logits.stride()
    arithmetic = compare.arithmetic_of(backend)
    compare.assert_loss_close(loss, there[0].grad, logits, labels, weights * mask, arithmetic=arithmetic)


def test_the_fused_path_is_the_torch_path():
    logits, labels, weights, mask = case((2, 32, 17, 19))
    theirs = torch.nn.functional.cross_entropy(logits, labels, reduction="none") * weights * mask
    theirs = theirs.sum() / (weights * mask).sum()
    (expected_gradient,) = torch.autograd.grad(theirs, logits)
    ours = weighted_cross_entropy(logits, labels, weights, mask)
    (gradient,) = torch.autograd.grad(ours, logits)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-9)


def test_weights_for_each_bin_are_looked_up():
    logits, labels, _, mask = case((2, 32, 9, 9))
    by_bin = torch.rand(32) + 0.1
    torch.testing.assert_close(
        weighted_cross_entropy(logits, labels, by_bin, mask),
        weighted_cross_entropy(logits, labels, by_bin[labels], mask),
    )


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (2, 17, 2, 3)])
def test_gradcheck(shape):
    logits, labels, weights, mask = case(shape, torch.float64)
    assert torch.autograd.gradcheck(lambda x: weighted_cross_entropy(x, labels, weights, mask), logits)
    assert torch.autograd.gradcheck(lambda x: weighted_cross_entropy(x, labels, weights, mask) * 3, logits)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("spread", [0.0, 100.0, 1e4])
def test_large_and_equal_logits(spread, layout):
    logits, labels, weights, mask = case((2, 32, 9, 9), layout=layout, spread=spread)
    loss = weighted_cross_entropy(logits, labels, weights, mask)
    loss.backward()
    value, _ = expected(logits, labels, weights, mask)
    assert loss.item() == pytest.approx(value, rel=1e-6)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.sum(1).abs().max() < 1e-6


def test_minus_infinity_is_probability_zero_and_nan_stays():
    logits, labels, weights, _ = case((1, 32, 8, 8))
    with torch.no_grad():
        logits[:, 5] = -torch.inf
    labels[labels == 5] = 6
    loss = weighted_cross_entropy(logits, labels, weights)
    loss.backward()
    assert loss.item() == pytest.approx(expected(logits, labels, weights)[0], rel=1e-6)
    assert logits.grad[:, 5].abs().max() < 1e-30
    with torch.no_grad():
        logits[0, 0, 0, 0] = torch.nan
    assert weighted_cross_entropy(logits, labels, weights).isnan()


def test_all_masked_is_zero():
    logits, labels, weights, mask = case((1, 32, 8, 8))
    loss = weighted_cross_entropy(logits, labels, weights, torch.zeros_like(mask))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_backward_twice_and_without_a_gradient():
    logits, labels, weights, _ = case((1, 32, 8, 8))
    loss = weighted_cross_entropy(logits, labels, weights)
    loss.backward(retain_graph=True)
    once = logits.grad.clone()
    loss.backward()
    torch.testing.assert_close(logits.grad, 2 * once)
    with torch.no_grad():
        assert weighted_cross_entropy(logits, labels, weights).item() == loss.item()


ONES = torch.ones(1, 8, 8)
WRONG = [
    # shapes
    ({"labels": ONES[..., 1:].byte()}, ValueError,
     r"labels: expected shape \(1, 8, 8\), got \(1, 8, 7\); it must be the shape of logits without the bins$"),
    ({"weights": torch.ones(31)}, ValueError,
     r"weights: expected shape \(1, 8, 8\) or \(32,\), got \(31,\); one for each pixel, .* or one for each bin$"),
    ({"mask": ONES[0]}, ValueError,
     r"mask: expected shape \(1, 8, 8\), got \(8, 8\); it must be the shape of logits without the bins$"),
    ({"logits": torch.zeros(5)}, ValueError,
     r"logits: expected shape \(N, n, \.\.\.\), n >= 1, got \(5,\); the bins are on axis 1$"),
    ({"logits": torch.zeros(1, 0, 8, 8)}, ValueError, r"logits: expected shape .* got \(1, 0, 8, 8\)"),
    # kinds
    ({"logits": np.zeros((1, 32, 8, 8))}, TypeError,
     r"logits: expected a torch tensor, got numpy.ndarray; torch.as_tensor\(\.\.\.\) makes one$"),
    ({"labels": np.zeros((1, 8, 8), np.uint8)}, TypeError, "labels: expected a torch tensor, got numpy.ndarray;"),
    ({"weights": [1.0] * 32}, TypeError, "weights: expected a torch tensor, got list;"),
    ({"mask": np.ones((1, 8, 8), bool)}, TypeError, "mask: expected a torch tensor, got numpy.ndarray;"),
    # dtypes
    ({"logits": torch.zeros(1, 32, 8, 8, dtype=torch.int64)}, TypeError,
     "logits: expected dtype float16, bfloat16, float32, float64, got int64; cast it first$"),
    ({"logits": torch.zeros(1, 32, 8, 8).cfloat()}, TypeError, "logits: expected dtype .* got complex64;"),
    ({"labels": ONES}, ValueError,
     r"labels: expected shape \(1, 32, 8, 8\), got \(1, 8, 8\); floats are the shares of all bins$"),
    ({"shares": ONES}, ValueError,
     r"labels: expected shape \(N, k, \.\.\.\) beside logits .*, got \(1, 8, 8\); .* encode_soft\(\.\.\., axis=1\)$"),
    ({"labels": ONES.byte()[:, None].expand(1, 5, 8, 8), "shares": torch.ones(1, 4, 8, 8)}, ValueError,
     r"shares: expected shape \(1, 5, 8, 8\), got \(1, 4, 8, 8\); it must be the shape of labels$"),
    ({"labels": ONES.byte()[:, None], "shares": ONES[:, None].clone().requires_grad_()}, ValueError,
     "shares: expected a tensor without gradient"),
    ({"reduction": "batchmean"}, ValueError, "reduction: expected one of 'weighted', 'sum', 'mean', 'none', got 'ba"),
    ({"labels": ONES.bool()}, TypeError, "labels: expected dtype .* got bool;"),
    ({"weights": ONES.cfloat()}, TypeError, "weights: expected dtype .* got complex64; cast it first$"),
    ({"mask": ONES.cfloat()}, TypeError, "mask: expected dtype .* got complex64; cast it first$"),
    # gradients, which the loss has in its logits alone
    ({"weights": ONES.clone().requires_grad_()}, ValueError,
     r"weights: expected a tensor without gradient, got requires_grad=True, and weighted_cross_entropy has none in "
     r"weights; pass weights\.detach\(\) or"),
    ({"weights": torch.ones(32, requires_grad=True)}, ValueError, "weights: expected a tensor without gradient"),
    ({"mask": ONES.clone().requires_grad_()}, ValueError, "mask: expected a tensor without gradient, .* none in mask;"),
    # values, devices
    ({"labels": torch.full((1, 8, 8), 32)}, ValueError, "labels: expected 0 to 31, got (0|32) to 32"),
    ({"labels": torch.full((1, 8, 8), -1)}, ValueError, "labels: expected 0 to 31, got -1"),
    # with a weight for each bin, of which there is none to be looked up
    ({"labels": torch.full((1, 8, 8), 32), "weights": torch.ones(32)}, ValueError,
     "labels: expected 0 to 31, got (0|32) to 32"),
    ({"labels": torch.full((1, 8, 8), -40), "weights": torch.ones(32)}, ValueError,
     "labels: expected 0 to 31, got -40"),
    ({"weights": -ONES}, ValueError,
     "weights: expected finite numbers >= 0, times the mask, got -1 to 0; a pixel that is not to count has mask 0"),
    ({"weights": torch.full((32,), torch.nan)}, ValueError, "weights: expected finite numbers .* got nan to nan;"),
    ({"weights": ONES / 0}, ValueError, "weights: expected finite numbers >= 0, times the mask, got 0 to inf;"),
    ({"mask": -ONES}, ValueError, "weights: expected finite numbers >= 0, times the mask, got -"),
    ({"logits": torch.zeros(1, 32, 8, 8).to_sparse()}, TypeError, "logits: expected a tensor of layout torch.strided"),
    ({"labels": torch.zeros(1, 32, 8, 8, device="meta")}, ValueError, "labels: expected device 'cpu' like logits"),
    ({"labels": torch.zeros(1, 8, 8, dtype=torch.long, device="meta")}, ValueError,
     "labels: expected device 'cpu' like logits, got 'meta'; arrays are never moved unasked"),
    ({"mask": ONES.to("meta")}, ValueError, "mask: expected device 'cpu' like logits, got 'meta'"),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(("change", "error", "message"), WRONG)
def test_wrong_calls_are_told(change, error, message, dtype):
    """By kernels and, for float16 on the CPU, by torch's own functions alike."""
    logits, labels, weights, mask = case((1, 32, 8, 8), dtype)
    arguments = {"logits": logits, "labels": labels, "weights": weights, "mask": mask, **change}
    with pytest.raises(error, match=f"^{message}"):
        weighted_cross_entropy(**arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_weights_of_any_real_dtype_are_numbers(dtype):
    logits, labels, weights, mask = case((1, 32, 8, 8), dtype)
    whole = (10 * weights).floor()
    expected = weighted_cross_entropy(logits, labels, whole, mask.float())
    assert expected.dtype == torch.float32
    for kind in (torch.int64, torch.uint8, torch.float64):
        loss = weighted_cross_entropy(logits, labels.to(torch.int16), whole.to(kind), mask.to(kind))
        torch.testing.assert_close(loss, expected, rtol=0, atol=0)


@pytest.mark.promise("Toolkit", "Weights of any scale give a finite loss and gradient; negative ones, NaN are refused")
@pytest.mark.parametrize(
    ("scale", "compiled"), [(1e-44, False), (1e-38, False), (1e30, False), (3e38, False), (1e-44, True)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64], ids=str)
def test_weights_of_any_scale_give_a_finite_gradient(scale, dtype, compiled):
    """Only their ratios count in the weighted mean."""
    logits, labels, weights, mask = case((1, 32, 8, 8), dtype)
    loss = weighted_cross_entropy
    if compiled:
        loss = torch.compile(lambda *arrays: weighted_cross_entropy(*arrays), backend="eager", fullgraph=True)
    expected = loss(logits, labels, torch.ones_like(weights), mask)
    (gradient,) = torch.autograd.grad(expected, logits)
    scaled = loss(logits, labels, torch.full_like(weights, scale), mask)
    torch.testing.assert_close(scaled, expected)
    torch.testing.assert_close(torch.autograd.grad(scaled, logits)[0], gradient)
    with pytest.raises(ValueError, match=r"^weights: expected finite numbers >= 0, .* got -1 to"):
        loss(logits, labels, -torch.ones_like(weights), mask)


def test_weights_that_require_a_gradient_are_taken_where_nothing_is_recorded():
    logits, labels, weights, mask = case((1, 32, 8, 8))
    expected = weighted_cross_entropy(logits, labels, weights, mask)
    with torch.no_grad():
        assert weighted_cross_entropy(logits, labels, weights.requires_grad_(), mask) == expected


def test_a_penalty_on_the_gradient_is_told_and_not_left_out():
    """Beside the loss, which has a gradient of its own, the penalty's would be missed by nobody."""
    logits, labels, weights, mask = case((1, 32, 8, 8))
    loss = weighted_cross_entropy(logits, labels, weights, mask)
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(loss, logits, retain_graph=True)[0], rtol=0, atol=0)
    total = loss + gradient.square().sum()
    for differentiate in (torch.Tensor.backward, lambda total: torch.autograd.grad(total, logits)):
        with pytest.raises(RuntimeError, match=r"^weighted_cross_entropy: expected one derivative, got a second"):
            differentiate(total)
        total = loss + gradient.square().sum()


@pytest.mark.parametrize("label", [-100, -1, 32, 2**40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_label_out_of_range_is_told_whatever_does_the_work(dtype, label):
    """torch's own cross entropy, which does it for float16, would leave -100 out. Where the mask is 0 it may stand."""
    logits, labels, weights, mask = case((1, 32, 8, 8), dtype)
    mask[0, 3, 4] = False
    expected = weighted_cross_entropy(logits, labels, weights, mask)
    labels[0, 3, 4] = label
    assert weighted_cross_entropy(logits, labels, weights, mask) == expected
    mask[0, 3, 4] = True
    for weight in (weights, torch.ones(32)):
        with pytest.raises(ValueError, match=f"^labels: expected 0 to 31, got {min(label, 0)} to"):
            weighted_cross_entropy(logits, labels, weight, mask)


@pytest.mark.parametrize("label", [-100, -1, 32, 2**40])
def test_without_kernels_on_a_gpu_a_label_out_of_range_gives_nan(label, monkeypatch):
    """What does the work there, on the CPU: nothing is read for the label, and no other pixel is touched."""
    logits, labels, _, _ = case((2, 32, 8, 8), torch.float64)
    truth = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    ones = torch.ones(labels.shape, dtype=torch.float64)
    torch.testing.assert_close(targets.losses_by_torch(targets.of(logits, labels, None), ones), truth)
    monkeypatch.setattr(targets, "_checked", lambda labels, n: labels.long())
    labels[1, 3, 4] = label
    losses = targets.losses_by_torch(targets.of(logits, labels, None), ones)
    assert losses[1, 3, 4].isnan()
    losses, truth = (torch.cat([part.flatten()[:92], part.flatten()[93:]]) for part in (losses, truth))
    torch.testing.assert_close(losses, truth)


def test_bfloat16_bits_round_to_even():
    values = torch.randn(1000, dtype=torch.float64)
    assert np.array_equal(bfloat16_bits(values.numpy()), values.float().bfloat16().view(torch.uint16).numpy())


_PEAK = """
import sys, torch
from fastcolor.loss import weighted_cross_entropy
def peak():  # not ru_maxrss: a child inherits that of the process that started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
def loss(x, y, w):
    if sys.argv[1] == "ours":
        return weighted_cross_entropy(x, y, w)
    return torch.nn.functional.cross_entropy(x, y, weight=w)
w = torch.ones(32)
loss(torch.zeros(1, 32, 16, 16, requires_grad=True), torch.zeros(1, 16, 16, dtype=torch.long), w).backward()
x, y = torch.zeros(16, 32, 256, 256, requires_grad=True), torch.zeros(16, 256, 256, dtype=torch.long)
x.data.add_(1)
before = peak()
loss(x, y, w).backward()
print((peak() - before) * 1024 / x.nbytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_peak_memory_is_the_gradient_alone():
    peaks = {}
    for which in ("ours", "torch"):
        run = subprocess.run([sys.executable, "-c", _PEAK, which], check=True, capture_output=True, text=True)
        peaks[which] = float(run.stdout)
    assert peaks["ours"] < 1.3
    assert peaks["ours"] < peaks["torch"] - 0.8
