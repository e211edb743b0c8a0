"""Launch plans: any call launches what the slow way does, whatever was called before it; and how plans are kept.

Launches are compared, not answers: with the backend of the bench that writes them down, where an address is told by
what lies there. That plans give right answers is shown by every test of the CUDA backends that calls twice.
"""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import compare
import numpy as np
import pytest
import strategies as make
import torch
from fastcolor.kernels import registry
from fastcolor.kernels.common import cuda_tables, device_arrays
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import bench.suites.stubbed as stub
import fastcolor
from fastcolor import reference
from fastcolor.arrays import plans, signature

SHAPE, LARGER = (16, 8), (32, 40)
BINS = fastcolor.ColorBins.default()
OTHERS = fastcolor.ColorBins(BINS.table, BINS.colors[::-1], BINS.prior)
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The backend whose launches are written down, and no plans but those of the test."""
    monkeypatch.setattr(registry, "BACKENDS", dict(registry.BACKENDS))
    stub.with_backend(str)
    plans.clear()
    yield
    plans.clear()


class Call(NamedTuple):
    """A call of a public operation.

    ``around`` gives the context of it.
    """

    name: str
    arrays: tuple[Any, ...]
    rest: tuple[Any, ...]
    options: dict[str, Any]
    around: Callable[[], Any] = torch.enable_grad

    def but(self, **options: Any) -> Call:
        return self._replace(options=self.options | options)

    def with_array(self, which: int, change: Callable[[Any], Any]) -> Call:
        return self._replace(arrays=tuple(change(a) if k == which else a for k, a in enumerate(self.arrays)))

    def does(self, planned: bool = True) -> Any:
        """Launches and results of the call, or its error; the slow way unless `planned`."""
        stub.LAUNCHES.clear()
        function = getattr(fastcolor, self.name)
        try:
            with self.around():
                result = (function if planned else function.__wrapped__)(*self.arrays, *self.rest, **self.options)
        except Exception as error:
            return type(error), str(error)
        results = result if isinstance(result, tuple) else (result,)
        return self._launches(results), [self._facts(one) for one in results], isinstance(result, tuple)

    def _outs(self) -> tuple[Any, ...]:
        out = self.options.get("out", ())
        return tuple(out) if isinstance(out, (tuple, list)) else (out,)

    def _facts(self, array: Any) -> tuple[Any, ...]:
        given = [k for k, one in enumerate(self._outs()) if one is array]
        zero = self.name == "histogram" and not compare.as_numpy(array).any()
        strides = array.stride() if isinstance(array, torch.Tensor) else array.strides
        return type(array), array.dtype, tuple(array.shape), strides, getattr(array, "requires_grad", None), given, zero

    def _launches(self, results: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Each launch, with addresses as words: scratch memory and copies are numbered as they come."""
        words: dict[int, Any] = {0: 0}
        words |= {device_arrays.address(table.array): ("table", key) for key, table in cuda_tables._recent.items()}
        words |= {_address(array): ("result", k) for k, array in enumerate(results)}
        words |= {_address(array): ("array", k) for k, array in enumerate((*self.arrays, *self._outs()))}
        return [(*launch[:4], [_argument(value, words) for value in launch.args]) for launch in stub.LAUNCHES]


def _address(array: Any) -> int:
    return array.data_ptr() if isinstance(array, torch.Tensor) else device_arrays.address(array)


def _argument(value: Any, words: dict[int, Any]) -> Any:
    if isinstance(value, (int, np.uint64)):
        return words.setdefault(int(value), ("memory", len(words)))
    return type(value), value.tobytes()


def array(shape: tuple[int, ...], dtype: str, layout: str = "contiguous") -> Any:
    values = rng.random(shape) if dtype != "uint8" else rng.integers(0, 256, shape)
    return make.as_kind(np.asarray(values), "torch", dtype, layout)


def base(name: str, shape: tuple[int, int] = SHAPE) -> Call:
    larger, options = (2 * shape[0], 2 * shape[1]), {"backend": stub.NAME}
    x, y, rgb = array((32, *shape), "float16"), array(shape, "uint8"), array((*larger, 3), "uint8")
    arrays, rest = {
        "decode": ((x, y), (BINS,)),
        "decode, larger": ((x, array(larger, "uint8")), (BINS,)),
        "annealed_mean": ((x,), (BINS,)),
        "confidence": ((x,), ()),
        "merge": ((array((2, *shape), "float32") * 0.4, array(larger, "uint8")), ()),
        "encode": ((rgb,), (BINS,)),
        "encode_soft": ((rgb,), (BINS,)),
        "histogram": ((rgb,), (17,)),
    }[name]
    return Call(name.partition(",")[0], arrays, rest, options)


OPERATIONS = ("decode", "decode, larger", "annealed_mean", "confidence", "merge", "encode", "encode_soft", "histogram")

# --- what may change between two calls --------------------------------------------------------------------------------

WIDER = {"float16": "float32", "uint8": "float32", "float32": "float64", "float64": "float32"}
Change = Callable[[Call, int], Call]


def of_array(change: Callable[[Any], Any], around: Callable[[], Any] = torch.enable_grad) -> Change:
    def change_of_call(call: Call, which: int) -> Call:
        return call.with_array(which % len(call.arrays), lambda a: change(a) if can(a) else a)._replace(around=around)

    return change_of_call


def can(a: Any) -> bool:
    """Whether it has values in the memory of torch."""
    return isinstance(a, torch.Tensor) and a.layout is torch.strided and a.device.type == "cpu"


def laid_out(layout: str) -> Change:
    return of_array(lambda a: make.as_kind(a.detach().numpy(), "torch", str(a.dtype).removeprefix("torch."), layout))


def option(**values: Any) -> Change:
    return lambda call, _: call.but(**values)


def rest(change: Callable[[Any], Any]) -> Change:
    return lambda call, _: call._replace(rest=tuple(map(change, call.rest)))


def out(layout: str, as_list: bool = False) -> Change:
    def change(call: Call, _: int) -> Call:
        made = getattr(fastcolor, call.name).__wrapped__(*call.arrays, *call.rest, **call.options)
        several = isinstance(made, tuple)
        outs = [
            array(tuple(a.shape), str(a.dtype).removeprefix("torch."), layout) for a in (made if several else (made,))
        ]
        return call.but(out=(outs if as_list else tuple(outs)) if several or as_list else outs[0])

    return change


class Subclass(torch.Tensor):
    pass


def wider(a: Any) -> Any:
    return a.detach().to(getattr(torch, WIDER[str(a.dtype).removeprefix("torch.")])) / (
        255 if a.dtype == torch.uint8 else 1
    )


def leaf(a: Any) -> Any:
    return a.detach().clone().requires_grad_() if a.is_floating_point() else a


CHANGES: dict[str, Change] = {
    "values": of_array(lambda a: a.detach().clone()),
    "a flag that is an array": lambda call, which: call.but(from_logits=torch.tensor(bool(which % 2))),
    "dtype": of_array(wider),
    "shape": of_array(lambda a: torch.cat([a.detach()] * 2, -2 if a.shape[-1] != 3 else 0)),
    "half": of_array(lambda a: a.detach()[: len(a) // 2]),
    "dimensions": of_array(lambda a: a.detach()[None]),
    **{layout: laid_out(layout) for layout in ("transposed", "bins_last", "sliced", "broadcast", "offset")},
    "negative": of_array(lambda a: torch._neg_view(a.detach().float())),
    "requires_grad": of_array(leaf),
    "requires_grad, no_grad": of_array(leaf, torch.no_grad),
    "inference_mode": of_array(lambda a: a, torch.inference_mode),
    "subclass": of_array(lambda a: a.detach().as_subclass(Subclass)),
    "parameter": of_array(lambda a: torch.nn.Parameter(a.detach(), requires_grad=False)),
    "NumPy": of_array(lambda a: a.detach().numpy()),
    "meta": of_array(lambda a: a.detach().to("meta")),
    "sparse": of_array(lambda a: a.detach().to_sparse()),
    "no array": of_array(lambda a: a.tolist()),
    **{f"temperature {v!r}": option(temperature=v) for v in (0.5, 0.0, 1, True, np.float64(0.7), "1", [0.5])},
    **{f"axis {v!r}": option(axis=v) for v in (0, -1, 2, 0.0, True)},
    **{f"channel_axis {v!r}": option(channel_axis=v) for v in (0, 1, 2, 1.0)},
    **{f"confidence {v!r}": option(confidence=v) for v in (True, 1, 0, np.True_)},
    **{f"from_logits {v!r}": option(from_logits=v) for v in (False, 0, True)},
    **{f"lam {v!r}": option(lam=v) for v in (0.7, 0, True)},
    **{f"sigma {v!r}": option(sigma=v) for v in (0.1, 2)},
    **{f"neighbors {v!r}": option(neighbors=v) for v in (3, 7, 40)},
    **{f"label_dtype {v}": option(label_dtype=v) for v in ("int64", "uint8", "int16", "int8")},
    "weighting": option(weighting="mean"),
    "space": option(space="lab"),
    **{f"backend {v}": option(backend=v) for v in ("numba", "none", "auto")},
    "bins": rest(lambda v: OTHERS if v is BINS else v),
    "equal bins": rest(lambda v: fastcolor.ColorBins(v.table, v.colors, v.prior) if v is BINS else v),
    "bins without a key": rest(lambda v: make.make_bins(rng, 32, 17) if v is BINS else v),
    "bins as text": rest(lambda v: "bins"),
    "cells": rest(lambda v: 19 if v == 17 else v),
    "cells as a float": rest(lambda v: 17.0 if v == 17 else v),
    **{f"out, {layout}": out(layout) for layout in ("contiguous", "transposed", "sliced", "offset", "broadcast")},
    "out, a list": out("contiguous", as_list=True),
    "out, of another shape": option(out=array((3,), "uint8")),
}


def assert_never_stale(warm: Call, call: Call) -> None:
    """Twice, so that the call's own plan is tried as well; before and after it those of another."""
    expected = call.does(planned=False)
    warm.does()
    for _ in range(2):
        assert call.does() == expected
    assert warm.does() == warm.does(planned=False)


def changed(call: Call, name: str, which: int) -> Call:
    try:
        return CHANGES[name](call, which)
    except (RuntimeError, TypeError, ValueError):  # no such array or result
        return call


@pytest.mark.parametrize("change", CHANGES)
def test_each_part_of_a_call_is_in_its_key(change: str) -> None:
    for name in OPERATIONS:
        call = base(name)
        for which in range(len(call.arrays)):
            assert_never_stale(call, changed(call, change, which))


@given(st.sampled_from(OPERATIONS), st.lists(st.tuples(st.sampled_from(list(CHANGES)), st.integers(0, 1)), max_size=4))
def test_any_call_after_any_other(name: str, chosen: list[tuple[str, int]]) -> None:
    plans.clear()
    call = warm = base(name)
    for change, which in chosen:
        warm, call = call, changed(call, change, which)
    assert_never_stale(warm, call)


# --- these tests find a key with a part missing -----------------------------------------------------------------------

READ, SIGN = signature._read_tensor, signature.sign


def without_fact(number: int) -> dict[str, Any]:
    """A reader of tensors that leaves one of its facts out."""

    def read(tensor: Any, key: list[Any]) -> int | None:
        facts: list[Any] = []
        address = READ(tensor, facts)
        key += facts[:number] + facts[number + 1 :]
        return address

    return {"_read_tensor": read}


def whatever_its_sign(tensor: Any, key: list[Any]) -> int:
    key += tensor.dtype, tensor.device, tensor.shape, tensor.stride(), tensor.data_ptr() % 16
    return tensor.data_ptr()


def signing(change: Callable[[Any], Any]) -> dict[str, Any]:
    """A signature of arguments that were changed before: of all, or of those options that are left."""

    def sign(name: Any, args: Any, options: dict[str, Any], backend: str) -> Any:
        kept = {key: value for key, value in options.items() if change(key) == key}
        return SIGN(name, tuple(map(change, args)), {key: change(value) for key, value in kept.items()}, backend)

    return {"sign": sign}


def but(name: str) -> Callable[[Any], Any]:
    return lambda value: "" if isinstance(value, str) and value == name else value


PLANTED: dict[str, tuple[dict[str, Any], str, str]] = {
    "dtype": (without_fact(0), "decode", "dtype"),
    "shape": (without_fact(2), "confidence", "half"),
    "strides": (without_fact(3), "annealed_mean", "bins_last"),
    "alignment": (without_fact(4), "annealed_mean", "offset"),
    "negation": ({"_read_tensor": whatever_its_sign}, "annealed_mean", "negative"),
    "gradient": ({"_read_tensor_to_differentiate": READ}, "confidence", "requires_grad"),
    "bins": (signing(lambda value: BINS if isinstance(value, fastcolor.ColorBins) else value), "decode", "bins"),
    "kinds of numbers": (signing(lambda value: float(value) if type(value) is bool else value), "encode", "lam True"),
    "cells": (signing(lambda value: 0 if type(value) is int else value), "histogram", "cells"),
    "out": (signing(but("out")), "decode", "out, contiguous"),
    **{
        name: (signing(but(name)), operation, change)
        for name, operation, change in (
            ("temperature", "decode", "temperature 0.0"),
            ("axis", "confidence", "axis -1"),
            ("channel_axis", "decode", "channel_axis 0"),
            ("confidence", "decode", "confidence True"),
            ("from_logits", "confidence", "from_logits False"),
            ("lam", "encode", "lam 0.7"),
            ("sigma", "encode_soft", "sigma 0.1"),
            ("neighbors", "encode_soft", "neighbors 3"),
            ("weighting", "encode_soft", "weighting"),
            ("label_dtype", "encode", "label_dtype int64"),
            ("space", "merge", "space"),
            ("backend", "decode", "backend none"),
        )
    },
}


@pytest.mark.parametrize("part", PLANTED)
def test_a_key_without_a_part_is_found(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patched, name, change = PLANTED[part]
    call = base(name)
    if change == "negative":
        call = changed(call, "dtype", 0)
    if change == "lam True":
        call = call.but(lam=1.0)
    assert_never_stale(call, changed(call, change, 0))
    plans.clear()
    for function, replacement in patched.items():
        monkeypatch.setattr(plans if function == "sign" else signature, function, replacement)
    with pytest.raises(AssertionError):
        assert_never_stale(call, changed(call, change, 0))


def test_each_fact_of_a_cupy_array_is_in_its_key() -> None:
    def key(**changed: Any) -> list[Any]:
        facts = {"dtype": np.dtype("f4"), "shape": (8, 2), "strides": (8, 4), "device": 0, "address": 64} | changed
        device, data = SimpleNamespace(id=facts.pop("device")), SimpleNamespace(ptr=facts.pop("address"))
        found: list[Any] = []
        assert signature._read_cupy(SimpleNamespace(**facts, device=device, data=data), found) == data.ptr
        return found

    others: list[dict[str, Any]] = [
        {"dtype": np.dtype("i4")}, {"shape": (2, 8)}, {"strides": (4, 32)}, {"device": 1}, {"address": 68}
    ]  # fmt: skip
    assert key(address=80) == key()
    assert all(key(**other) != key() for other in others)


# --- what is kept -----------------------------------------------------------------------------------------------------


def no_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened() -> Any:
        raise AssertionError("the slow way")

    monkeypatch.setattr(plans.recording, "opened", opened)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_second_call_is_by_plan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = base(name)
    expected = call.does()
    no_slow_way(monkeypatch)
    assert call.does() == expected
    assert base(name).does() == expected


def test_plans_hold_no_arguments_and_no_results() -> None:
    call = base("decode")
    results = [fastcolor.decode(*call.arrays, *call.rest, **call.options) for _ in range(2)]
    left = [weakref.ref(array) for array in (*call.arrays, *results)]
    del call, results
    gc.collect()
    assert [ref() for ref in left] == [None] * 4


@pytest.mark.parametrize("name", ["decode", "encode"])
def test_arrays_at_one_address_have_no_plan(name: str) -> None:
    call = base("decode")
    x = call.arrays[0].float()
    assert_no_plan(call._replace(arrays=(x, x[0])))
    memory = torch.zeros(16 * 8 * 3, dtype=torch.uint8)
    y, rgb = memory[: 16 * 8].view(16, 8), memory.view(16, 8, 3)
    assert_no_plan(call._replace(arrays=(call.arrays[0], y)).but(out=rgb))
    apart = call.but(out=torch.zeros(16, 8, 3, dtype=torch.uint8))
    apart.does()
    assert len(plans.PLANS) == 1
    assert_never_stale(apart, apart._replace(arrays=(apart.arrays[0], y)).but(out=rgb))


def assert_no_plan(call: Call) -> None:
    assert call.does() == call.does(planned=False)
    assert len(plans.PLANS) == 0


@pytest.mark.parametrize("change", ["sliced", "negative", "bins without a key", "subclass", "requires_grad, no_grad"])
def test_what_is_copied_or_not_known_has_no_plan(change: str) -> None:
    call = changed(base("decode"), change, 0)
    call.does()
    assert len(plans.PLANS) == ("no_grad" in change)


def test_plans_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that nobody else reads goes with the last of them, when nothing runs that reads it."""
    waited: list[Any] = []
    monkeypatch.setattr(cuda_tables, "_recent", {})
    monkeypatch.setattr(cuda_tables, "synchronize", waited.append)
    few = plans.Plans(3)
    slowly = fastcolor.encode.__wrapped__

    def call(side: int, keys: int) -> None:
        image = torch.zeros(side, 16, 3, dtype=torch.uint8)
        few.call("encode", slowly, (image, BINS), {"backend": stub.NAME}, stub.NAME)
        assert len(few) == keys

    for keys, side in enumerate((1, 2, 3), start=1):
        call(side, keys)
    call(1, 3)
    call(4, 3)
    assert len(waited) == 1, "after the copy"
    cuda_tables._recent.clear()
    with monkeypatch.context() as patch:
        patch.setattr(stub.ENGINE, "stream", lambda like: None)
        call(4, 3)  # by the slow way, which makes no plan where there is one
    cuda_tables._recent.clear()
    assert len(waited) == 3, "after another copy, and for that"
    no_slow_way(monkeypatch)
    for side in (1, 3, 4):
        call(side, 3)
    with pytest.raises(AssertionError, match="the slow way"):
        call(2, 3)
    few.clear()
    assert len(waited) == 4


def test_threads_share_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each launch has the arrays of one call, and each call has one launch."""
    launches: Any = deque()
    monkeypatch.setattr(stub, "LAUNCHES", launches)
    monkeypatch.setattr(plans, "PLANS", plans.Plans(4))  # of ten signatures: they come and go
    before, begin = sys.getswitchinterval(), threading.Barrier(8)
    sys.setswitchinterval(1e-6)

    def work(seed: int) -> list[tuple[Any, ...]]:
        begin.wait()
        done = []
        for k in range(200):
            x = torch.zeros(32, 8, 1 + (seed + k) % 10)
            done.append((x, *fastcolor.confidence(x, backend=stub.NAME)))
        return done

    try:
        with ThreadPoolExecutor(8) as pool:
            calls = [call for calls in pool.map(work, range(8)) for call in calls]
    finally:
        sys.setswitchinterval(before)
    wanted = Counter(tuple(array.data_ptr() for array in call) for call in calls)
    assert Counter((int(of.args[0]), int(of.args[-2]), int(of.args[-1])) for of in launches) == wanted


# --- where it runs ----------------------------------------------------------------------------------------------------


def test_the_stream_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = iter(range(5, 9))
    monkeypatch.setattr(stub.ENGINE, "stream", lambda like: next(streams))
    call = base("decode")
    for _ in range(3):
        call.does()
        given = stub.LAUNCHES[-1].stream
    assert given == 6, "the first call has a context instead"


def test_on_another_device_than_the_current_one_the_slow_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    call = base("decode")
    expected = call.does()
    monkeypatch.setattr(stub.ENGINE, "stream", lambda like: None)
    no_slow_way(monkeypatch)  # to be recorded: there is a plan already
    assert call.does() == expected


def test_a_captured_graph_is_told_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept table that it reads is never dropped, whether or not it would be found by its content any longer."""
    encode, decode = base("encode"), base("decode")
    expected = encode.does(), decode.does()
    of_graphs: list[Any] = []
    monkeypatch.setattr(cuda_tables, "_of_graphs", of_graphs)
    monkeypatch.setattr(device_arrays, "is_capturing", lambda like: True)
    monkeypatch.setattr(cuda_tables, "is_capturing", lambda like: True)
    no_slow_way(monkeypatch)
    assert encode.does() == expected[0]
    assert len(of_graphs) == 1
    assert decode.does() == expected[1]
    assert len(of_graphs) == 1


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, of forward mode
def test_modes_and_transforms_see_the_operator() -> None:
    seen: list[str] = []

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    call = base("confidence")
    call.does()
    with Mode():
        call.does()
    assert any("fastcolor.confidence" in name for name in seen)
    batch = torch.stack([call.arrays[0]] * 2)
    many = torch.func.vmap(lambda x: fastcolor.confidence(x, backend=stub.NAME))(batch)
    assert many[0].shape == (2, *SHAPE)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(call.arrays[0], call.arrays[0])
        with pytest.raises(ValueError, match="without a tangent"):
            fastcolor.confidence(dual, backend=stub.NAME)


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_by_plan_are_those_of_the_slow_way(backend: str, kind: str, name: str) -> None:
    """On whatever runs: the same kernels, the same bits."""
    for _ in range(3):
        call = base(name)
        arrays = [make.as_kind(a.numpy(), kind, str(a.dtype).removeprefix("torch.")) for a in call.arrays]
        function, options = getattr(fastcolor, call.name), {"backend": backend}
        results = [of(*arrays, *call.rest, **options) for of in (function, function.__wrapped__)]
        for ours, theirs in zip(*(of if isinstance(of, tuple) else (of,) for of in results), strict=True):
            assert type(ours) is type(theirs)
            np.testing.assert_array_equal(compare.as_numpy(ours), compare.as_numpy(theirs))
    has_plans = kind != "numpy" and hasattr(registry.load(backend), "ENGINE")
    assert len(plans.PLANS) == has_plans


# --- films ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "window"), [(0.2, 3), (0.001, 2), (0.0, 0)])
def test_frames_by_plan_are_those_of_the_slow_way(alpha: float, window: int) -> None:
    options = {"alpha": alpha, "window": window, "backend": stub.NAME}
    films = [fastcolor.TemporalSmoother(BINS, **options) for _ in range(2)]
    frames = [(array((32, *SHAPE), "float16"), array(SHAPE, "uint8")) for _ in range(3)]
    for k in range(12):
        steps = []
        for film, way in zip(films, ("step", "_step"), strict=True):
            stub.LAUNCHES.clear()
            logits, luma = frames[k % 3]
            if k % 4 == 3:
                film.chroma(logits) if way == "step" else film._chroma(logits, None, BINS)
            else:
                film.step(logits, luma) if way == "step" else film._step(logits, luma, None, BINS)
            (launch,) = stub.LAUNCHES
            steps.append([value.tobytes() for value in launch.args if isinstance(value, np.ndarray)])
        assert steps[0] == steps[1]
        assert len(steps[0]) == 2, "the step and the colors"
    assert films[0]._kernel._frame == 12


def test_a_film_goes_by_plan_until_it_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    film = fastcolor.TemporalSmoother(BINS, backend=stub.NAME)
    logits, luma = array((32, *SHAPE), "float16"), array(SHAPE, "uint8")
    film.step(logits, luma)
    with monkeypatch.context() as patch:
        no_slow_way(patch)
        film.step(logits, luma)
        assert film._kernel._frame == 2
        film.reset()
        with pytest.raises(AssertionError, match="the slow way"):
            film.step(logits, luma)
    film.step(logits[:, :8].contiguous(), luma[:8])
    with pytest.raises(ValueError, match="frames must not change their shape"):
        film.step(logits, luma)
    state = weakref.ref(film._kernel)
    del film
    assert state() is None, "no cycle keeps the memory of a film"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_film_has_plans_of_its_own(copied: Callable[[Any], Any]) -> None:
    film = fastcolor.TemporalSmoother(BINS, backend=stub.NAME)
    logits, luma = array((32, *SHAPE), "float16"), array(SHAPE, "uint8")
    for _ in range(2):
        film.step(logits, luma)
    other = copied(film)
    other.reset()
    for frame in (other, film, film, other):
        frame.step(logits, luma)
    assert (film._kernel._frame, other._kernel._frame) == (4, 2)


def test_a_film_of_bins_that_may_change_has_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    film = fastcolor.TemporalSmoother(BINS, backend=stub.NAME)
    logits, luma = array((32, *SHAPE), "float16"), array(SHAPE, "uint8")
    film.step(logits, luma)
    film.bins = reference.ColorBins(BINS.table, BINS.colors, BINS.prior)
    film.step(logits, luma)
    assert len(film._plans) == 1
    film.bins = fastcolor.ColorBins.zhang()
    with pytest.raises(ValueError, match="expected size 313"):
        film.step(logits, luma)


def test_half_of_a_library_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose import failed half-way, or is under way, leaves a module without its classes."""
    logits, luma = array((32, *SHAPE), "float16"), array(SHAPE, "uint8")
    with pytest.raises(TypeError, match="temperature: expected a number"):
        fastcolor.decode(logits, luma, BINS, temperature=np.void(b"a"), backend=stub.NAME)
    for name in ("torch", "cupy"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(TypeError, match="logits: expected a NumPy array"):
        fastcolor.confidence([1])
