"""The loss as on a GPU, by the CUDA host code and its kernels on the CPU: launches, factors from above, plans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gpu_cases
import pytest

torch = pytest.importorskip("torch")

from cuda_host import backend, build  # noqa: E402
from fastcolor.kernels.cupy_cuda import loss as cuda_loss  # noqa: E402

from fastcolor.arrays import plans, run_gradient  # noqa: E402
from fastcolor.loss import weighted_cross_entropy  # noqa: E402

N = 40
REDUCTIONS = ("weighted", "sum", "mean")
pytestmark = pytest.mark.skipif(not build.available(), reason="needs g++")


@pytest.fixture(autouse=True)
def _by_cuda() -> Iterator[None]:
    plans.clear()
    with gpu_cases.loss_by("cuda-host"):
        yield
    plans.clear()


def problem(seed: int = 0, layout: str = "planar") -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, N, 6, 8, generator=generator)
    if layout == "channels_last":
        logits = logits.contiguous(memory_format=torch.channels_last)
    return {
        "logits": logits.requires_grad_(),
        "labels": torch.randint(0, N, (2, 6, 8), generator=generator),
        "weights": torch.rand(2, 6, 8, generator=generator) + 0.1,
    }


def truth(factor: float = 1.0, reduction: str = "weighted", **given: Any) -> tuple[Any, Any]:
    """By torch's own functions."""
    x = given["logits"].detach().requires_grad_()
    weights, mask = given["weights"], given.get("mask")
    weights = weights if weights.dim() == 3 else weights[given["labels"]]
    weights = weights if mask is None else weights * mask
    losses = torch.nn.functional.cross_entropy(x, given["labels"], reduction="none") * weights
    pixels = weights.numel() if mask is None else mask.sum()
    loss = losses.sum() / {"weighted": weights.sum(), "sum": 1, "mean": pixels}[reduction]
    return loss.detach(), torch.autograd.grad(factor * loss, x)[0]


def assert_true(loss: Any, gradient: Any, factor: float = 1.0, **given: Any) -> None:
    value, slope = truth(factor, **given)
    torch.testing.assert_close(loss.detach(), value, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, slope, rtol=1e-5, atol=1e-6 * float(slope.abs().max()))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kernels, as they are launched without a plan."""
    names: list[str] = []
    launch = backend.ENGINE.launch

    def note(like: Any, name: str, expression: str, *rest: Any) -> None:
        names.append(expression.partition("<")[0])
        launch(like, name, expression, *rest)

    monkeypatch.setattr(backend.ENGINE, "launch", note)
    return names


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_three_launches_forward_and_backward(reduction: str, launched: list[str]) -> None:
    given = problem()
    loss = weighted_cross_entropy(**given, reduction=reduction)
    assert launched == ["fc::loss_begin", "fc::loss_pass"]
    loss.backward()
    assert launched == ["fc::loss_begin", "fc::loss_pass", "fc::loss_pass"]
    assert_true(loss, given["logits"].grad, **given, reduction=reduction)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("form", ["plain", "mask", "by bin", "strided"])
def test_each_call_is_of_its_own_arguments(form: str, reduction: str, layout: str) -> None:
    """What a plan repeats, and what it must not: tensors that were converted on the way to the kernels."""
    for seed in range(4):
        given = problem(seed, layout)
        if form == "mask":
            given["mask"] = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(seed)) > 0.4
        elif form == "by bin":
            given["weights"] = torch.rand(N, generator=torch.Generator().manual_seed(seed)) + 0.1
        elif form == "strided":
            given["logits"] = given["logits"].detach()[..., ::2].requires_grad_()
            given |= {name: given[name][..., ::2] for name in ("labels", "weights")}
        factor = (1.0, 1.0, 3.0, 0.25)[seed]
        loss = weighted_cross_entropy(**given, reduction=reduction)
        (factor * loss).backward()
        assert_true(loss, given["logits"].grad, factor, **given, reduction=reduction)
    kept = {"plain": 2, "strided": 0}.get(form, 1)  # the backward has what the forward has converted
    assert len(plans.PLANS) == kept


def test_scaled_half_gradients_do_not_underflow() -> None:
    """GradScaler's factor comes before the rounding: gradients of a large mean are below the smallest bfloat16."""
    given = problem()
    given["logits"] = given["logits"].detach().bfloat16().requires_grad_()
    given["weights"] = torch.full_like(given["weights"], 1e-30)
    for again in (False, True):
        loss = 2.0**-30 * weighted_cross_entropy(**given, reduction="mean")
        (small,) = torch.autograd.grad(2.0**100 * loss, given["logits"], retain_graph=again)
        assert (small != 0).float().mean() > 0.9


def test_a_graph_that_is_kept_gives_each_factor_its_gradient() -> None:
    given = problem()
    loss = weighted_cross_entropy(**given)
    grads = [torch.autograd.grad(k * loss, given["logits"], retain_graph=True)[0] for k in (1.0, 2.0)]
    (last,) = torch.autograd.grad(0.5 * loss, given["logits"])
    (twice,) = torch.autograd.grad(weighted_cross_entropy(**given), given["logits"], create_graph=True)
    loss = weighted_cross_entropy(**given)
    (batch,) = torch.autograd.grad(loss, given["logits"], torch.tensor([1.0, 2.0]), is_grads_batched=True)
    for gradient, factor in zip((*grads, last, twice, *batch), (1, 2, 0.5, 1, 1, 2), strict=True):
        assert_true(loss, gradient, factor, **given)
    with pytest.raises(RuntimeError, match=r"^weighted_cross_entropy: expected one derivative, got a second"):
        twice.square().sum().backward()


def test_the_factor_of_the_last_backward_is_expected() -> None:
    """As GradScaler's and that of accumulation are the same for many steps: the second pass then does nothing."""
    given = problem()
    for factor in (1.0, 4.0, 4.0):
        (gradient,) = torch.autograd.grad(factor * weighted_cross_entropy(**given), given["logits"])
        assert float(cuda_loss._last_factor(given["logits"].detach().numpy())[0]) == factor
        assert_true(weighted_cross_entropy(**given), gradient, factor, **given)


def test_logits_changed_before_the_backward_are_told() -> None:
    given = problem()
    x = given["logits"] * 1
    loss = weighted_cross_entropy(**{**given, "logits": x})
    with torch.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_what_autograd_cannot_do_is_told_before_a_kernel_runs(launched: list[str]) -> None:
    given = problem()
    with pytest.raises(ValueError, match=r"^weights: expected a tensor without gradient"):
        weighted_cross_entropy(**{**given, "weights": given["weights"].requires_grad_()})
    given = problem()
    with pytest.raises(ValueError, match=r"^reduction: expected one of"):
        weighted_cross_entropy(**given, reduction="best")
    with pytest.raises(TypeError, match=r"^labels: expected a torch tensor"):
        weighted_cross_entropy(**{**given, "labels": given["labels"].numpy()})
    assert not launched


def test_nothing_to_look_at() -> None:
    for shape in ((0, N, 4, 4), (2, N, 0, 4)):
        x = torch.zeros(shape, requires_grad=True)
        pixels = shape[0], *shape[2:]
        loss = weighted_cross_entropy(x, torch.zeros(pixels, dtype=torch.long), torch.ones(pixels))
        loss.backward()
        assert loss == 0
        assert x.grad.shape == shape


def test_a_hook_may_lay_out_anew_what_autograd_saves() -> None:
    """In the very same memory, even: a plan of rows is none of planes."""
    given = problem(layout="channels_last")

    def planar(saved: torch.Tensor) -> torch.Tensor:
        if saved.dim() == 4 and not saved.is_contiguous():
            return torch.as_strided(saved.detach(), saved.shape, saved.contiguous().stride()).copy_(saved.clone())
        return saved

    for hooked in (False, True, False):
        fresh = given | {"logits": given["logits"].detach().clone(memory_format=torch.preserve_format).requires_grad_()}
        same = torch.autograd.graph.saved_tensors_hooks(lambda saved: saved, planar if hooked else lambda saved: saved)
        with same:
            loss = weighted_cross_entropy(**fresh)
            (gradient,) = torch.autograd.grad(3.0 * loss, fresh["logits"])
        assert gradient.shape == fresh["logits"].shape
        if not hooked:
            assert_true(loss, gradient, 3.0, **given)


def test_a_hook_that_compresses_numbers_leaves_the_call_alone() -> None:
    given = problem()
    less = torch.autograd.graph.saved_tensors_hooks(
        lambda saved: saved.bfloat16() if saved.is_floating_point() else saved,
        lambda packed: packed.float() if packed.is_floating_point() else packed,
    )
    with less:
        loss = weighted_cross_entropy(**given)
    (gradient,) = torch.autograd.grad(5.0 * loss, given["logits"])
    _, slope = truth(5.0, **given)
    torch.testing.assert_close(gradient, slope, rtol=0.1, atol=0.02 * float(slope.abs().max()))


def test_a_backward_that_is_replayed_gives_each_factor() -> None:
    """As a CUDA graph of the backward alone would: what the gradient has is known from the last time."""
    given = problem()
    logits, labels, weights = (given[name].detach() for name in ("logits", "labels", "weights"))
    of = run_gradient.Loss(logits, labels, None, weights, weights, 0)
    _, gradient, call = run_gradient.begin(of)
    for factor in (1.0, 2.0, 1.0, 1.0, 0.5):
        run_gradient.end(torch.tensor(factor), gradient, call, of, run_gradient.BACKEND)
        torch.testing.assert_close(gradient, truth(factor, **given)[1], rtol=1e-5, atol=1e-7)


def test_targets_made_in_inference_mode_are_taken() -> None:
    for inference in (True, False, True):
        given = problem()
        with torch.inference_mode(inference):
            given |= {name: given[name].clone() for name in ("labels", "weights")}
        loss = weighted_cross_entropy(**given)
        loss.backward()
        assert_true(loss, given["logits"].grad, **{name: value.clone() for name, value in given.items()})


def test_autocast_rounds_no_weights() -> None:
    given = problem()
    shares = torch.softmax(torch.randn(given["logits"].shape), 1)
    by_bin = 1e3 * torch.rand(N) + 1e3
    expected = weighted_cross_entropy(given["logits"].detach(), shares, by_bin, reduction="sum")
    with torch.autocast("cpu", torch.bfloat16):
        found = weighted_cross_entropy(given["logits"].detach(), shares, by_bin, reduction="sum")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
