"""The loss with soft and dense targets, masks and reductions: eager, compiled, in transforms, by torch alone."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastcolor import ColorBins, encode_soft, reference  # noqa: E402
from fastcolor.loss import weighted_cross_entropy  # noqa: E402

REDUCTIONS = ("weighted", "sum", "mean", "none")
N, K = 40, 5
# What float32 arithmetic and a half-precision gradient leave, as in test_loss.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-10}


def problem(dtype: Any = torch.float32, shape: tuple[int, ...] = (6, 7)) -> dict[str, Any]:
    """Two images with everything that a loss may be given; half of the pixels are masked."""
    generator = torch.Generator().manual_seed(3)
    pixels = (2, *shape)
    labels = torch.rand(2, N, *shape, generator=generator).argsort(dim=1)[:, :K]
    shares = torch.rand(2, K, *shape, generator=generator) + 0.05
    return {
        "logits": (3 * torch.randn(2, N, *shape, generator=generator)).to(dtype).requires_grad_(),
        "labels": labels,
        "weights": torch.rand(pixels, generator=generator) + 0.1,
        "mask": torch.rand(pixels, generator=generator) > 0.5,
        "shares": shares / shares.sum(dim=1, keepdim=True),
    }


def dense_of(labels: Any, shares: Any) -> Any:
    return torch.zeros(2, N, *labels.shape[2:], dtype=shares.dtype).scatter_add(1, labels, shares)


def of_kind(given: dict[str, Any], kind: str) -> dict[str, Any]:
    if kind == "dense":
        return given | {"labels": dense_of(given["labels"], given["shares"]), "shares": None}
    return given | ({"labels": given["labels"][:, 0], "shares": None} if kind == "hard" else {})


def truth(reduction: str, logits: Any, **arrays: Any) -> tuple[Any, Any]:
    named = {name: None if array is None else array.numpy() for name, array in arrays.items()}
    x = logits.detach().double().numpy()
    return (
        reference.weighted_cross_entropy(x, **named, reduction=reduction),
        reference.weighted_cross_entropy_gradient(x, **named, reduction=reduction),
    )


@pytest.mark.parametrize("kind", ["soft", "dense", "hard"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_loss_and_gradient_are_the_references(reduction: str, dtype: Any, kind: str) -> None:
    given = of_kind(problem(dtype), kind)
    value, gradient = truth(reduction, **given)
    loss = weighted_cross_entropy(**given, reduction=reduction)
    assert loss.shape == (given["weights"].shape if reduction == "none" else ())
    limit = TOLERANCE[dtype]
    exact = min(limit, TOLERANCE[torch.float32])  # the loss itself is never half
    np.testing.assert_allclose(loss.detach().numpy(), value, rtol=exact, atol=exact)
    loss.sum().backward()
    largest = float(np.abs(gradient).max())
    assert np.abs(given["logits"].grad.double().numpy() - gradient).max() <= 2 * limit * largest


@pytest.mark.promise("Toolkit", "A pixel of mask 0 does not count in the loss or its gradient, whatever stands there")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("reduction", "kind"), [*product(REDUCTIONS, ["soft", "dense", "hard"]), ("weighted", "compiled")]
)
def test_what_is_masked_may_be_anything(reduction: str, dtype: Any, kind: str) -> None:
    given = of_kind(problem(dtype), kind)
    expected = weighted_cross_entropy(**given, reduction=reduction)
    (clean,) = torch.autograd.grad(expected.sum(), given["logits"])
    off = ~given["mask"]
    with torch.no_grad():
        given["logits"][:, 3][off] = torch.nan
        given["logits"][:, 4][off] = torch.inf
    given["labels"] = torch.where(off[:, None] if kind != "hard" else off, 255, given["labels"])
    given["weights"] = torch.where(off, torch.nan, given["weights"])
    if given["shares"] is not None:
        given["shares"] = torch.where(off[:, None], torch.inf, given["shares"])
    run = weighted_cross_entropy
    if kind == "compiled":
        run = torch.compile(lambda **arrays: weighted_cross_entropy(**arrays), backend="eager", fullgraph=True)
    loss = run(**given, reduction=reduction)
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(loss.sum(), given["logits"])
    torch.testing.assert_close(gradient, clean, rtol=0, atol=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nothing_to_count_is_zero(reduction: str) -> None:
    given = problem()
    given["mask"] = torch.zeros_like(given["mask"])
    loss = weighted_cross_entropy(**given, reduction=reduction)
    loss.sum().backward()
    assert not loss.any()
    assert not given["logits"].grad.any()


def test_weights_for_each_bin_are_the_mean_over_the_shares() -> None:
    given, by_bin = problem(), torch.rand(N) + 0.1
    pixel = (given["shares"] * by_bin[given["labels"]]).sum(dim=1)
    expected = weighted_cross_entropy(**{**given, "weights": pixel})
    torch.testing.assert_close(weighted_cross_entropy(**{**given, "weights": by_bin}), expected)
    dense = dense_of(given["labels"], given["shares"])
    torch.testing.assert_close(
        weighted_cross_entropy(given["logits"], dense, by_bin, given["mask"]), expected, rtol=1e-5, atol=0
    )


@pytest.mark.promise("Toolkit", "Weights that may be one a pixel or one a bin are asked back by name")
def test_weights_that_may_be_of_pixels_or_of_bins_are_asked_back() -> None:
    logits, labels = torch.zeros(N, N), torch.arange(N)
    with pytest.raises(
        ValueError, match=r"^weights: expected one a pixel or one a bin, got shape \(40,\), .* one more axis"
    ):
        weighted_cross_entropy(logits, labels, torch.ones(N))
    by_pixel = weighted_cross_entropy(logits[..., None], labels[:, None], torch.ones(N, 1))
    by_bin = weighted_cross_entropy(logits[..., None], labels[:, None], torch.ones(N))
    assert by_pixel == by_bin


@pytest.mark.promise("Toolkit", "Logits up to 1e37 have a finite loss and gradient")
@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("size", [1e37, 1e30, 1e4])
def test_logits_of_any_size_have_a_finite_loss(size: float, layout: str) -> None:
    given = problem()
    logits = size * torch.sign(given["logits"].detach())
    if layout == "channels_last":
        logits = logits.contiguous(memory_format=torch.channels_last)
    given["logits"] = logits.requires_grad_()
    for labels in (given["labels"], given["labels"][:, 0]):
        shares = given["shares"] if labels.dim() == 4 else None
        loss = weighted_cross_entropy(given["logits"], labels, given["weights"], given["mask"], shares)
        assert torch.isfinite(loss)
        value, _ = truth("weighted", **{**given, "labels": labels, "shares": shares})
        assert loss.item() == pytest.approx(value, rel=1e-5)
        loss.backward()
        assert torch.isfinite(given["logits"].grad).all()


def test_a_share_of_zero_hides_a_logit_at_infinity() -> None:
    """How CT2 leaves out bins that a luma cannot have: their logits are -inf, their shares 0."""
    given = problem()
    dense = dense_of(given["labels"], given["shares"])
    dense[:, :10] = 0
    with torch.no_grad():
        given["logits"][:, :10] = -torch.inf
    loss = weighted_cross_entropy(given["logits"], dense, given["weights"], given["mask"])
    loss.backward()
    kept = weighted_cross_entropy(given["logits"][:, 10:], dense[:, 10:], given["weights"], given["mask"])
    torch.testing.assert_close(loss, kept)
    assert torch.isfinite(given["logits"].grad).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_compiled_is_eager(reduction: str) -> None:
    given = problem()

    @torch.compile(fullgraph=True, backend="aot_eager")
    def loss(**arrays: Any) -> Any:
        return weighted_cross_entropy(**arrays, reduction=reduction).sum()

    (compiled,) = torch.autograd.grad(loss(**given), given["logits"])
    (eager,) = torch.autograd.grad(weighted_cross_entropy(**given, reduction=reduction).sum(), given["logits"])
    torch.testing.assert_close(compiled, eager)


def test_each_loss_has_the_gradient_of_its_own_factor() -> None:
    """Also in torch.func's transforms, and once only."""
    given = problem()
    factor = torch.randn(given["weights"].shape)

    def total(x: Any) -> Any:
        return (factor * weighted_cross_entropy(**{**given, "logits": x}, reduction="none")).sum()

    (gradient,) = torch.autograd.grad(total(given["logits"]), given["logits"])
    scaled = {**given, "weights": given["weights"] * factor}
    expected = truth("sum", **scaled)[1]
    np.testing.assert_allclose(gradient.numpy(), expected, atol=4e-6 * np.abs(expected).max())
    torch.testing.assert_close(torch.func.grad(total)(given["logits"].detach()), gradient)
    (once,) = torch.autograd.grad(total(given["logits"]), given["logits"], create_graph=True)
    with pytest.raises(RuntimeError, match=r"^weighted_cross_entropy: expected one derivative, got a second"):
        once.square().sum().backward()


def test_labels_of_encode_soft_are_taken_as_they_are() -> None:
    """A batch of photographs, its soft targets, the loss: every dtype of labels gives the same."""
    bins = ColorBins.zhang()
    rgb = np.random.default_rng(0).integers(0, 256, (2, 6, 7, 3), dtype=np.uint8)
    logits = torch.randn(2, 313, 6, 7)
    losses = []
    for dtype in ("auto", "uint16", "int32", "int64"):
        _, labels, shares, weights = map(torch.from_numpy, encode_soft(rgb, bins, axis=1, label_dtype=dtype))
        assert labels.shape == (2, 5, 6, 7)
        losses.append(weighted_cross_entropy(logits, labels, weights, shares=shares).item())
    assert len(set(losses)) == 1


_PEAK = """
import sys, numpy as np, torch, fastcolor
from fastcolor.loss import weighted_cross_entropy
def peak():  # not ru_maxrss: a child inherits that of the process that started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
def encoded(side):
    rgb = np.full((side, side, 3), 99, np.uint8)
    before = peak()
    parts = fastcolor.encode_soft(rgb, bins)
    return (peak() - before) / sum(part.nbytes for part in parts)
def trained(images):
    x = torch.zeros(images, 313, 64, 64, requires_grad=True)
    x.data.add_(1)
    labels, shares = torch.zeros(images, 5, 64, 64, dtype=torch.int64), torch.full((images, 5, 64, 64), 0.2)
    before = peak()
    weighted_cross_entropy(x, labels, torch.ones(images, 64, 64), shares=shares).backward()
    return (peak() - before) / x.nbytes
bins = fastcolor.ColorBins.zhang()
measured, small, large = {"encode_soft": (encoded, 16, 2048), "loss": (trained, 1, 32)}[sys.argv[1]]
measured(small)
print(measured(large))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("which", ["encode_soft", "loss"])
def test_peak_memory_is_what_is_given_back(which: str) -> None:
    """Soft targets take 38 bytes a pixel, where 313 floats would be 1,252; the loss its gradient, and no more."""
    run = subprocess.run([sys.executable, "-c", _PEAK, which], check=True, capture_output=True, text=True)
    print(which, run.stdout)
    assert float(run.stdout) < 1.2
