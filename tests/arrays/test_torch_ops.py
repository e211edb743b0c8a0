"""The operators of torch: opcheck, torch.compile and torch.export of the public functions, and autograd."""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import compare
import numpy as np
import pytest
import strategies as make
import torch
import torch._dynamo.testing
from fastcolor.kernels import registry
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing._internal.optests.generate_tests import OpCheckError
from torch.utils._pytree import tree_leaves

import fastcolor
from fastcolor import reference
from fastcolor.arrays import torch_ops
from fastcolor.arrays.bins_key import from_key, key_of

N = 8
PLAIN, OTHER_PLAIN = (make.make_bins(np.random.default_rng(seed), N, 5) for seed in range(2))
# torch before it told why a function stays outside of graphs also compiles once more when it sees a second object.
OLD_TORCH = "reason" not in inspect.signature(torch.compiler.disable).parameters
BINS, OTHER = (fastcolor.ColorBins(bins.table, bins.colors, bins.prior) for bins in (PLAIN, OTHER_PLAIN))
LAB = fastcolor.ColorBins.from_centers(np.random.default_rng(2).uniform(-90, 90, (N, 2)))
EXACT = {"rtol": 0, "atol": 0}


def device_of(backend: str) -> str:
    return "cuda" if "cuda" in registry.BACKENDS[backend].devices else "cpu"


def images(backend: str, height: int = 6, width: int = 10, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    """Logits (N, H, W), luma (H, W) and RGB (H, W, 3)."""
    generator = torch.Generator().manual_seed(seed)
    parts = (
        (3 * torch.randn(N, height, width, generator=generator)).to(dtype),
        torch.rand(height, width, generator=generator),
        torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8),
    )
    return [part.to(device_of(backend)) for part in parts]


def same(result: Any, expected: Any) -> bool:
    """Of the same bits, dtypes, shapes and strides, NaN included."""
    pairs = list(zip(tree_leaves(result), tree_leaves(expected), strict=True))
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True, check_stride=True)
    return bool(pairs)


# (name, the operations that it needs, a call of the public function on logits, luma and RGB)
CALLS: dict[str, tuple[str, Callable[..., Any]]] = {
    "encode": ("encode", lambda x, y, rgb, **o: fastcolor.encode(rgb, BINS, label_dtype="int64", **o)),
    "encode floats": ("encode", lambda x, y, rgb, **o: fastcolor.encode(x[:3].sigmoid(), BINS, channel_axis=0, **o)),
    "histogram": ("histogram", lambda x, y, rgb, **o: fastcolor.histogram(rgb, 7, **o)),
    "annealed_mean": ("annealed_mean", lambda x, y, rgb, **o: fastcolor.annealed_mean(x, BINS, **o)),
    "mode": ("annealed_mean", lambda x, y, rgb, **o: fastcolor.annealed_mean(x, BINS, temperature=0, **o)),
    "confidence": ("confidence", lambda x, y, rgb, **o: fastcolor.confidence(x, **o)),
    "decode": ("decode", lambda x, y, rgb, **o: fastcolor.decode(x, y, BINS, **o)),
    "decode planar": ("decode", lambda x, y, rgb, **o: fastcolor.decode(x, y, BINS, channel_axis=0, **o)),
    "decode channels-last": (
        "decode",
        lambda x, y, rgb, **o: fastcolor.decode(x.permute(1, 2, 0).contiguous(), y, BINS, axis=-1, **o),
    ),
    "decode_confidence": ("confidence", lambda x, y, rgb, **o: fastcolor.decode(x, y, BINS, confidence=True, **o)),
    "merge": ("merge", lambda x, y, rgb, **o: fastcolor.merge(small(x), y, **o)),
    "encode Lab": ("encode", lambda x, y, rgb, **o: fastcolor.encode(rgb, LAB, **o)),
    "encode_soft": ("encode_soft", lambda x, y, rgb, **o: fastcolor.encode_soft(rgb, LAB, neighbors=3, **o)),
    "histogram Lab": ("histogram", lambda x, y, rgb, **o: fastcolor.histogram(rgb, 23, space="lab", **o)),
    "probabilities": (
        "annealed_mean",
        lambda x, y, rgb, **o: fastcolor.annealed_mean(x.exp(), LAB, from_logits=False, **o),
    ),
    "decode Lab": ("decode", lambda x, y, rgb, **o: fastcolor.decode(x, 100 * y, LAB, **o)),
    "decode larger": (
        "merge",
        lambda x, y, rgb, **o: fastcolor.decode(x[:, ::2, ::3], y.half(), BINS, confidence=True, **o),
    ),
    "merge Lab": ("merge", lambda x, y, rgb, **o: fastcolor.merge(9 * small(x)[None], 100 * y[None], space="lab", **o)),
}


def small(x: torch.Tensor) -> torch.Tensor:
    """Chroma of fewer pixels, within its range."""
    return 0.4 * x[:2, ::2, ::3].tanh()


def run_or_deselect(backend: str, name: str) -> Callable[..., Any]:
    """The call, with the backend; a backend without the operation must refuse it by name."""
    op, call = CALLS[name]
    if hasattr(registry.load(backend), op):
        return lambda *arrays: call(*arrays, backend=backend)
    with pytest.raises(fastcolor.BackendUnavailableError, match=rf"^backend: {backend} has no {op}"):
        call(*images(backend), backend=backend)
    return lambda *arrays: torch.zeros(1)


# --- the operators themselves -----------------------------------------------------------------------------------------


def operators(backend: str, dtype: torch.dtype) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    x, y, rgb = images(backend, dtype=dtype)
    key, batch = key_of(BINS), x.expand(2, -1, -1, -1).permute(0, 2, 3, 1).contiguous()
    grad = x.clone().requires_grad_()
    adjacent = batch.permute(0, 3, 1, 2)  # channels-last: the gradient has these strides too
    ops = torch.ops.fastcolor
    return {
        "encode": (ops.encode, (rgb, key, 0.2, "int64", 2, backend)),
        "encode_soft": (ops.encode_soft, (rgb, key_of(LAB), 3, 5.0, 0.2, "mean", "int16", 0, 2, backend)),
        "histogram": (ops.histogram, (rgb, 7, "lab", 2, backend)),
        "annealed_mean": (ops.annealed_mean, (grad, key, 0.38, 0, True, backend)),
        "annealed_mean of a batch": (ops.annealed_mean, (batch.exp(), key, 0.38, 3, False, backend)),
        "annealed_mean_backward": (ops.annealed_mean_backward, (x[:2], x, key, 0.38, 0, backend)),
        "annealed_mean_backward of channels-last": (
            ops.annealed_mean_backward,
            (adjacent[:, :2].contiguous(), adjacent, key, 0.38, 1, backend),
        ),
        "confidence": (ops.confidence, (batch, 3, True, backend)),
        "decode": (ops.decode, (x, y, key, 0.38, 0, 2, True, backend)),
        "decode_confidence": (ops.decode_confidence, (x, y, key, 0.38, 0, 0, True, backend)),
        "decode_confidence larger": (
            ops.decode_confidence,
            (x[:, ::2].contiguous(), 100 * y, key_of(LAB), 0.38, 0, 0, True, backend),
        ),
        "merge": (ops.merge, (small(x), y, "yuv", backend)),
    }


@pytest.mark.ops("encode", "encode_soft", "histogram", "annealed_mean", "confidence", "decode", "merge")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(backend: str, dtype: torch.dtype) -> None:
    for operator, arguments in operators(backend, dtype).values():
        torch.library.opcheck(operator, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_opcheck_of_the_loss(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    planar = torch.randn(2, N, 6, 10, generator=generator).to(dtype)
    labels, weights = torch.randint(0, N, (2, 6, 10), generator=generator), torch.rand(2, 6, 10, generator=generator)
    weights = weights.double() if dtype == torch.float64 else weights
    ops = torch.ops.fastcolor
    every = dtype == torch.float32  # what differs by dtype, hard targets show
    for logits in (planar, planar.contiguous(memory_format=torch.channels_last), planar[..., 1:]):
        expected, pixel = labels[..., -logits.shape[-1] :], weights[..., -logits.shape[-1] :]
        soft = torch.stack([expected, (expected + 1) % N], dim=1), torch.stack([pixel, 1 - pixel], dim=1)
        dense = torch.softmax(logits.to(pixel.dtype), dim=1)
        for target in ((expected, None), *((soft, (None, dense)) if every else ())):
            leaf, factor = logits.clone().requires_grad_(), pixel.new_full((), 1.5)
            for above, divisor in ((factor, (pixel, 0)), (factor, (None, 7)), (pixel, (None, None))):
                torch.library.opcheck(ops.cross_entropy, (leaf, *target, pixel, *divisor))
                torch.library.opcheck(ops.cross_entropy_backward, (above, logits, *target, pixel, *divisor))
        torch.library.opcheck(ops.checked_labels, (expected, N))


def test_opcheck_finds_a_wrong_fake_kernel() -> None:
    """The check is alive: an operator whose fake kernel lies about the shape is refused."""
    torch.library.define("fastcolor_test::wrong", "(Tensor x) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
    torch.library.impl("fastcolor_test::wrong", "default", lambda x: x + 1)
    torch.library.register_fake("fastcolor_test::wrong", lambda x: x.new_empty((*x.shape, 1)))
    with pytest.raises(OpCheckError):
        torch.library.opcheck(torch.ops.fastcolor_test.wrong, (torch.zeros(3),))


def test_a_key_holds_the_bins() -> None:
    again = from_key(key_of(BINS))
    for field in ("table", "colors", "prior"):
        np.testing.assert_array_equal(getattr(again, field), getattr(BINS, field))
    assert again is from_key(key_of(fastcolor.ColorBins(BINS.table, BINS.colors, BINS.prior)))
    assert key_of(OTHER) != key_of(BINS)


# --- torch.compile ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_compiled_without_a_break(backend: str, name: str) -> None:
    """Static and dynamic shapes: one graph, the bits of the eager call, and never the memory of an argument."""
    call = run_or_deselect(backend, name)
    for dynamic in (False, True) if backend == "numba" else (True,):
        torch._dynamo.reset()
        compiled = torch.compile(call, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        for size in ((6, 10), (9, 7)):
            arrays = images(backend, *size)
            results = compiled(*arrays)
            assert same(results, call(*arrays))
            memory = {array.untyped_storage().data_ptr() for array in arrays}
            assert not memory & {part.untyped_storage().data_ptr() for part in tree_leaves(results)}


@pytest.mark.ops("annealed_mean", "decode", "encode")
def test_compiled_by_inductor(backend: str) -> None:
    """With code before and after, which the compiler fuses; a call in bfloat16 and a view of other strides."""

    def step(x: torch.Tensor, y: torch.Tensor, rgb: torch.Tensor) -> Any:
        luma, labels, _ = fastcolor.encode(rgb, BINS, backend=backend)
        picture = fastcolor.decode(2 * x.flip(2), y * luma, BINS, backend=backend)
        return picture.float() + 1, fastcolor.annealed_mean(x.bfloat16(), BINS, backend=backend) * 2, labels + 1

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True)
    for size in ((6, 10), (9, 7), (12, 5)):
        arrays = images(backend, *size)
        assert same([part.contiguous() for part in compiled(*arrays)], [part.contiguous() for part in step(*arrays)])


@pytest.mark.ops("decode")
def test_new_sizes_and_equal_bins_are_the_same_graph(backend: str) -> None:
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()

    def call(x: torch.Tensor, y: torch.Tensor, bins: Any, temperature: float) -> Any:
        return fastcolor.decode(x, y, bins, temperature=temperature, backend=backend)

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend=counter)
    for k in range(12):
        x, y, _ = images(backend, 5 + k, 20 - k, seed=k)
        equal = fastcolor.ColorBins(BINS.table, BINS.colors, BINS.prior)
        assert same(compiled(x, y, equal, 0.4), call(x, y, BINS, 0.4))
    graphs = counter.frame_count
    assert graphs <= 1 + OLD_TORCH
    for count, (bins, temperature) in enumerate([(OTHER, 0.4), (OTHER, 0.5)], start=graphs + 1):
        assert same(compiled(x, y, bins, temperature), call(x, y, bins, temperature)), "they are constants of a graph"
        assert counter.frame_count == count


@pytest.mark.ops("decode")
def test_exported_programs_hold_their_bins(backend: str) -> None:
    class Model(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return fastcolor.decode(x, y, BINS, backend=backend)

    x, y, _ = images(backend)
    program, file = torch.export.export(Model(), (x, y), strict=False), io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    assert same(torch.export.load(file).module()(x, y), fastcolor.decode(x, y, BINS, backend=backend))


@pytest.mark.ops("decode", "confidence")
def test_fake_tensors_have_shapes_and_no_memory(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of 8 TB is decoded: nothing of it is allocated, and no kernel runs."""
    monkeypatch.setattr(torch_ops.run, "decode", lambda *_: pytest.fail("a kernel was run"))
    shape = (1 << 19, 1 << 19)
    with FakeTensorMode():
        x, y = (torch.empty(size, device=device_of(backend)) for size in ((N, *shape), shape))
        results = fastcolor.decode(x, y, BINS, confidence=True, backend=backend)
    assert all(isinstance(part, FakeTensor) and part.fake_device == x.fake_device for part in results)
    assert [(tuple(part.shape), part.dtype) for part in results] == [
        ((*shape, 3), torch.uint8),
        (shape, torch.float32),
        (shape, torch.float32),
    ]


@pytest.mark.ops("decode")
def test_modes_and_transforms_see_the_operator(backend: str) -> None:
    """What is baked into a graph by make_fx is the operator, not its result; vmap is a loop over it."""
    x, y, _ = images(backend)

    def call(x: torch.Tensor) -> Any:
        return fastcolor.decode(x, y, BINS, backend=backend)

    graph = make_fx(call)(x)
    assert same(graph(-x), call(-x))
    batch = torch.stack([x, -x])
    assert same(torch.vmap(call)(batch), torch.stack([call(x), call(-x)]))


def test_errors_say_the_same_when_compiled() -> None:
    x, y, _ = images("numba")
    calls: dict[str, Callable[[], Any]] = {
        "out: expected None where torch compiles": lambda: fastcolor.annealed_mean(x, BINS, out=torch.empty(2, 6, 10)),
        "logits: expected size 8 on axis -3": lambda: fastcolor.annealed_mean(x[:5], BINS),
        "bins: expected fastcolor.ColorBins in compiled code": lambda: fastcolor.annealed_mean(x, PLAIN),
        "temperature: expected a finite number": lambda: fastcolor.decode(x, y, BINS, temperature=-1.0),
    }
    for message, call in calls.items():
        torch._dynamo.reset()
        with pytest.raises(Exception, match=message):
            torch.compile(call, fullgraph=True, backend="eager")()


def test_the_smoother_stays_outside() -> None:
    """fullgraph says why; without it the graph breaks there, and the film is right."""
    x, y, _ = images("numba")
    torch._dynamo.reset()
    smoother, twin = fastcolor.TemporalSmoother(BINS), fastcolor.TemporalSmoother(BINS)

    def step(x: torch.Tensor, y: torch.Tensor) -> Any:
        return smoother.step(2 * x, y) + 1

    with pytest.raises(Exception, match="torch._dynamo.disable" if OLD_TORCH else "TemporalSmoother changes its state"):
        torch.compile(step, fullgraph=True, backend="eager")(x, y)
    compiled = torch.compile(step, backend="eager")
    for k in range(3):
        assert same(compiled(x + k, y), twin.step(2 * (x + k), y) + 1)


# --- autograd ---------------------------------------------------------------------------------------------------------

DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64])


@pytest.mark.ops("annealed_mean", "annealed_mean_gradient")
@given(
    make.bins(), make.shapes(2000), make.logit_kinds, make.temperatures.filter(bool), DTYPES, make.generators,
    st.integers(0, 2), st.sampled_from(["contiguous", "adjacent", "sliced"]),
)  # fmt: skip
def test_gradient_of_the_annealed_mean(
    backend: str, bins: Any, shape: tuple[int, int], kind: str, temperature: float, dtype: torch.dtype,
    rng: np.random.Generator, axis: int, layout: str,
) -> None:  # fmt: skip
    x = torch.from_numpy(np.moveaxis(make.make_logits(rng, kind, bins.n, shape), 0, axis).copy()).to(dtype)
    x = x.to(device_of(backend))
    if layout == "adjacent":
        x = x.movedim(axis, -1).contiguous().movedim(-1, axis)
    elif layout == "sliced":
        x = torch.nn.functional.pad(x, (1, 1))[..., 1:-1]
    x.requires_grad_()
    chroma = fastcolor.annealed_mean(x, bins, temperature=temperature, axis=axis, backend=backend)
    g = torch.from_numpy(rng.standard_normal(chroma.shape)).to(chroma)
    chroma.backward(g)
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert layout == "sliced" or x.grad.stride() == x.stride() or 1 in x.shape
    arithmetic = compare.arithmetic_of(backend)
    compare.assert_annealed_gradient_close(
        x.grad, g, x, bins, temperature=temperature, axis=axis, arithmetic=arithmetic
    )


def test_a_wrong_gradient_is_found() -> None:
    x, _, _ = images("numba")
    x.requires_grad_()
    chroma = fastcolor.annealed_mean(x, BINS)
    g = torch.ones_like(chroma)
    chroma.backward(g)
    compare.assert_annealed_gradient_close(x.grad, g, x, BINS, temperature=0.38, axis=0)
    for wrong in (x.grad * (1 + 1e-3), x.grad.flip(0), x.grad.roll(1, 2), torch.zeros_like(x.grad)):
        with pytest.raises(AssertionError):
            compare.assert_annealed_gradient_close(wrong, g, x, BINS, temperature=0.38, axis=0)


@pytest.mark.ops("annealed_mean", "annealed_mean_gradient")
@pytest.mark.parametrize("layout", ["planar", "channels-last"])
def test_gradients_through_compiled_code(backend: str, layout: str) -> None:
    """Forward and backward in one graph each, static and dynamic; gradients are those of the eager call."""

    def penalty(x: torch.Tensor) -> torch.Tensor:
        return (fastcolor.annealed_mean(x * 2, BINS, backend=backend) ** 2).sum()

    for dynamic in (False, True):
        torch._dynamo.reset()
        compiled = torch.compile(penalty, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        for size in ((6, 10), (9, 7)):
            leaves = [images(backend, *size)[0] for _ in range(2)]
            if layout == "channels-last":
                leaves = [leaf.movedim(0, -1).contiguous().movedim(-1, 0) for leaf in leaves]
            for function, leaf in zip((compiled, penalty), leaves, strict=True):
                function(leaf.requires_grad_()).backward()
            torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-6, atol=1e-7, check_stride=True)


@pytest.mark.ops("annealed_mean", "annealed_mean_gradient")
def test_gradients_are_taken_once_and_of_one_pixel_too(backend: str) -> None:
    x = images(backend)[0][:, 0, 0].requires_grad_()
    chroma = fastcolor.annealed_mean(x, BINS, axis=0, backend=backend)
    (gradient,) = torch.autograd.grad(chroma.sum(), x, create_graph=True)
    g, arithmetic = torch.ones_like(chroma), compare.arithmetic_of(backend)
    compare.assert_annealed_gradient_close(gradient, g, x, BINS, temperature=0.38, axis=0, arithmetic=arithmetic)
    with pytest.raises(RuntimeError, match=r"^annealed_mean: expected one derivative, got a second"):
        gradient.sum().backward()


def test_a_backend_without_the_gradient_says_so_in_the_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numba-cuda does."""
    forward = ModuleType("forward_only")
    forward.annealed_mean = registry.load("numba").annealed_mean  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "forward_only", forward)
    entry = registry.Backend("forward-only", "forward_only", ("cpu",), probe=lambda: None, hint="")
    monkeypatch.setitem(registry.BACKENDS, "forward-only", entry)
    x = images("numba")[0]

    def call(x: torch.Tensor) -> torch.Tensor:
        return fastcolor.annealed_mean(x, BINS, backend="forward-only")

    message = "^backend: forward-only has no annealed_mean_gradient; choose another backend"
    torch._dynamo.reset()
    leaf = x.clone().requires_grad_()
    for function in (call, torch.func.grad(lambda x: call(x).sum())):
        with pytest.raises(fastcolor.BackendUnavailableError, match=message):
            function(leaf)
    with pytest.raises(Exception, match=message[1:]):
        torch.compile(call, fullgraph=True, backend="aot_eager")(leaf)
    for function in (call, torch.no_grad()(call)):
        assert same(function(x), fastcolor.annealed_mean(x, BINS))
    assert same(torch.vmap(call)(x[None])[0], fastcolor.annealed_mean(x, BINS))


def test_gradients_of_bins_that_are_not_of_this_package() -> None:
    """Bins of another color space, say: anything with the fields."""
    plain = reference.ColorBins(BINS.table, 3 * BINS.colors, BINS.prior)
    x, _, _ = images("numba")
    x.requires_grad_()
    chroma = fastcolor.annealed_mean(x, plain)
    chroma.backward(torch.ones_like(chroma))
    compare.assert_annealed_gradient_close(x.grad, torch.ones_like(chroma), x, plain, temperature=0.38, axis=0)


def in_dual_numbers(call: Callable[..., Any], x: torch.Tensor) -> Any:
    with forward_ad.dual_level():
        return call(forward_ad.make_dual(x, torch.ones_like(x)))


FORWARD_MODE: dict[str, Callable[..., Any]] = {
    "dual numbers": in_dual_numbers,
    "dual numbers in no_grad": torch.no_grad()(in_dual_numbers),
    "jvp": lambda call, x: torch.func.jvp(call, (x,), (x,)),
    "jacfwd": lambda call, x: torch.func.jacfwd(call)(x),
    "jvp of vmap": lambda call, x: torch.func.jvp(torch.vmap(call), (x[None],), (x[None],)),
}


T_LOGITS, T_LABELS = torch.zeros(1, N, 6, 10), torch.zeros(1, 6, 10, dtype=torch.uint8)


def loss_of(x: torch.Tensor) -> torch.Tensor:
    return fastcolor.weighted_cross_entropy(x[None], torch.zeros(1, 6, 10, dtype=torch.uint8), torch.ones(N))


TANGENTS: dict[str, Callable[..., Any]] = {
    "annealed_mean": lambda x: fastcolor.annealed_mean(x, BINS),
    "weighted_cross_entropy": loss_of,
    "weighted_cross_entropy by torch": lambda x: loss_of(x.half()),
    "weights": lambda x: fastcolor.weighted_cross_entropy(T_LOGITS, T_LABELS, x[:1]),
    "mask": lambda x: fastcolor.weighted_cross_entropy(T_LOGITS, T_LABELS, torch.ones(N), x[:1]),
    "decode": lambda x: fastcolor.decode(x, torch.zeros(6, 10), BINS),
    "decode luma": lambda x: fastcolor.decode(torch.zeros(N, 6, 10), x[0], BINS),
    "confidence": lambda x: fastcolor.confidence(x),
    "encode": lambda x: fastcolor.encode(x[:3], BINS, channel_axis=0),
    "histogram": lambda x: fastcolor.histogram(x[:3], 5, channel_axis=0),
    "merge": lambda x: fastcolor.merge(x[:2], torch.zeros(6, 10)),
    "smoother": lambda x: fastcolor.TemporalSmoother(BINS).chroma(x),
}


@pytest.mark.parametrize("mode", FORWARD_MODE)
@pytest.mark.parametrize("name", TANGENTS)
def test_forward_mode_is_refused_and_never_zero(name: str, mode: str) -> None:
    """Operators have no formula for it, and torch would take that for a derivative of zero."""
    message = r"^\w+: expected a tensor without a tangent, got one of forward mode.*; (use|pass)"
    with pytest.raises(ValueError, match=message):
        FORWARD_MODE[mode](TANGENTS[name], images("numba")[0])


def test_what_has_no_tangent_is_taken_beside_what_has_one() -> None:
    x, y, _ = images("numba")

    def mixed(x: torch.Tensor) -> torch.Tensor:
        return fastcolor.annealed_mean(x.detach(), BINS).sum() * x + fastcolor.decode(x.detach(), y, BINS).sum()

    value, tangent = torch.func.jvp(mixed, (x,), (torch.ones_like(x),))
    assert same(value, mixed(x))
    torch.testing.assert_close(tangent, fastcolor.annealed_mean(x, BINS).sum().expand_as(x), **EXACT)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.float16], ids=str)
def test_the_loss_compiled(dtype: torch.dtype, layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(3)

    def call(x: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return 3 * fastcolor.weighted_cross_entropy(x, labels, weights, mask)

    for dynamic in (False, True):
        torch._dynamo.reset()
        compiled = torch.compile(call, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        for side in (6, 9):
            shape = (2, side, 10)
            logits = torch.randn(2, N, side, 10, generator=generator).to(dtype, memory_format=layout)
            labels = torch.randint(0, N, shape, generator=generator, dtype=torch.uint8)
            weights, mask = torch.rand(N, generator=generator), torch.rand(shape, generator=generator) > 0.3
            leaves = [logits.clone().requires_grad_() for _ in range(2)]
            losses = [f(x, labels, weights, mask) for f, x in zip((compiled, call), leaves, strict=True)]
            for loss in losses:
                loss.backward()
            torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
            # Compiled, the factor comes before the gradient is rounded; eagerly on a CPU another rounding follows.
            one, other = (leaf.grad for leaf in leaves)
            eps = torch.finfo(dtype).eps
            torch.testing.assert_close(one, other, rtol=2 * eps, atol=2 * eps * float(other.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_label_out_of_range_is_told_by_compiled_code_too(dtype: torch.dtype) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(fastcolor.weighted_cross_entropy, fullgraph=True, backend="aot_eager")
    with pytest.raises(ValueError, match="labels: expected 0 to 7, got 0 to 8"):
        compiled(torch.zeros(1, N, 4, 4, dtype=dtype), torch.eye(4, dtype=torch.long)[None] * N, torch.ones(N))


def test_what_is_not_traced_calls_the_kernel_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No operator between an eager call and its kernel; modules of torch need no import of it."""
    for name in ("encode", "histogram", "annealed_mean", "confidence", "decode", "merge"):
        monkeypatch.delattr(torch_ops, name)
    x, y, rgb = images("numba")
    for _, call in CALLS.values():
        call(x, y, rgb)
    with torch.inference_mode(), pytest.raises(AttributeError):
        call(
            *(
                torch.nn.Parameter(a, requires_grad=False) if a is x else FakeTensorMode().from_tensor(a)
                for a in (x, y, rgb)
            )
        )
