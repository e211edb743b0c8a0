"""Streams, CUDA graphs, torch.compile, memory, devices: what depends on how a GPU runs, not on what it computes.

Tests with an argument `backend` run where that backend does: on a GPU, and on the CPU as a trial of the test itself
(gpu_device.Host). The agreement of the kernels with the reference is in test_agreement and test_laws, for all backends.
"""

from __future__ import annotations

import weakref
from typing import Any

import compare
import gpu_cases
import numpy as np
import pytest
import torch
from gpu_cases import BINS, Case
from gpu_cases_lab import EVERY
from gpu_device import Gpu, Host, device_of

import fastcolor
from fastcolor import reference
from fastcolor.arrays import torch_ops

ROUNDS = 3
DELAY = 0.2  # seconds: longer than any call takes to return, shorter than anybody minds

capturable = [case for case in EVERY if case.capturable]


def put(device: Gpu | Host, inputs: gpu_cases.Inputs) -> gpu_cases.Inputs:
    return {name: device.put(array) for name, array in inputs.items()}


def check(case: Case, inputs: gpu_cases.Inputs, results: tuple[Any, ...], backend: str) -> None:
    case.check(inputs, results, compare.arithmetic_of(backend))


def warm(case: Case, arrays: gpu_cases.Inputs, backend: str, device: Gpu | Host) -> Any:
    """Compile, make constants, and let both libraries settle, on a side stream, as torch asks for before a capture.

    That stream, for which torch now keeps memory: asking the driver for more might wait for what other streams do.
    """
    stream = device.stream()
    with device.on(stream):
        for _ in range(2):
            case.call(arrays, backend)
    stream.synchronize()
    device.synchronize()
    return stream


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.cases(EVERY)
def test_a_side_stream_is_obeyed_and_nobody_waits_for_it(backend: str, case: Case) -> None:
    """Inputs that the stream has not written yet are seen, and the call returns before the stream is done."""
    device, rng = device_of(backend), np.random.default_rng(1)
    inputs = case.inputs(rng)
    there = put(device, inputs)
    stream = warm(case, there, backend, device)
    stale = put(device, case.inputs(rng))
    device.synchronize()
    with device.on(stream):
        device.delay(DELAY)
        for name, array in stale.items():
            array.copy_(there[name])
        results = case.call(stale, backend)
        if device.asynchronous:
            assert not stream.query(), "the call waited for the stream"
    stream.synchronize()
    check(case, inputs, results, backend)


@pytest.mark.cases(EVERY)
def test_streams_do_not_wait_for_each_other(backend: str, case: Case) -> None:
    device, inputs = device_of(backend), case.inputs(np.random.default_rng(2))
    there = put(device, inputs)
    busy, stream = device.stream(), warm(case, there, backend, device)
    with device.on(busy):
        device.delay(5 * DELAY)
    with device.on(stream):
        results = case.call(there, backend)
    stream.synchronize()
    if device.asynchronous:
        assert not busy.query(), "the call waited for another stream"
    check(case, inputs, results, backend)
    busy.synchronize()


@pytest.mark.cases(EVERY)
def test_memory_given_back_on_one_stream_is_not_overwritten_too_early(backend: str, case: Case) -> None:
    """Temporary arrays of a call are freed while its kernels still wait: new ones on that stream come after them."""
    device, rng = device_of(backend), np.random.default_rng(3)
    rounds = [case.inputs(rng) for _ in range(ROUNDS)]
    warm(case, put(device, rounds[0]), backend, device)
    there = [put(device, inputs) for inputs in rounds]
    device.synchronize()
    stream = device.stream()
    with device.on(stream):
        device.delay(DELAY)
        results = [case.call(arrays, backend) for arrays in there]
    stream.synchronize()
    for inputs, one in zip(rounds, results, strict=True):
        check(case, inputs, one, backend)


# --- CUDA graphs ------------------------------------------------------------------------------------------------------


@pytest.mark.cases(capturable)
def test_a_graph_is_replayed_with_changed_inputs(backend: str, case: Case) -> None:
    device, rng = device_of(backend), np.random.default_rng(4)
    inputs = case.inputs(rng)
    there = put(device, inputs)
    warm(case, there, backend, device)
    results, replay = device.capture(lambda: case.call(there, backend))
    for _ in range(ROUNDS):
        inputs = case.inputs(rng)
        for name, array in put(device, inputs).items():
            there[name].copy_(array)
        replay()
        device.synchronize()
        check(case, inputs, results, backend)


@pytest.mark.ops("TemporalSmoother")
@pytest.mark.devices("cuda")
def test_a_smoother_is_not_captured(backend: str) -> None:
    """A replay would write to the ring's same place again and again."""
    device = device_of(backend)
    there = put(device, _film_of_one(np.random.default_rng(5)))
    smoother = fastcolor.TemporalSmoother(BINS, backend=backend)
    smoother.step(**there)
    device.synchronize()
    with pytest.raises(RuntimeError, match="CUDA graph"):
        device.capture(lambda: (smoother.step(**there),))


def _film_of_one(rng: np.random.Generator) -> gpu_cases.Inputs:
    return {"logits": rng.standard_normal((BINS.n, 5, 7), dtype=np.float32), "luma": np.ones((5, 7), np.float32)}


# --- torch.compile ---------------------------------------------------------------------------------------------------

compilable = [case for case in capturable if not case.torch_only]  # no gradients here: the loss is below


@pytest.mark.cases(compilable)
def test_compiled_functions_follow_their_inputs(backend: str, case: Case) -> None:
    device, rng = device_of(backend), np.random.default_rng(6)
    torch.compiler.reset()
    compiled = device.compile(lambda arrays: case.call(arrays, backend))
    for _ in range(2 * ROUNDS):
        inputs = case.inputs(rng)
        torch.compiler.cudagraph_mark_step_begin()
        results = tuple(array.clone() for array in compiled(put(device, inputs)))
        check(case, inputs, results, backend)


@pytest.mark.ops("weighted_cross_entropy")
def test_a_compiled_training_step_follows_its_inputs(backend: str) -> None:
    device, rng = device_of(backend), np.random.default_rng(7)
    case = next(case for case in EVERY if case.name == "loss")
    torch.compiler.reset()

    def loss_of(scale: Any, logits: Any, labels: Any, weights: Any) -> Any:
        return fastcolor.weighted_cross_entropy(scale * logits, labels, weights)

    compiled = device.compile(loss_of)
    with gpu_cases.loss_by(backend):
        for _ in range(2 * ROUNDS):
            inputs = case.inputs(rng)
            there = put(device, inputs)
            logits = there["logits"].requires_grad_()
            torch.compiler.cudagraph_mark_step_begin()
            loss = compiled(2.0, logits, there["labels"], there["weights"])
            (gradient,) = torch.autograd.grad(loss, logits)
            doubled = {**inputs, "logits": 2 * inputs["logits"]}
            check(case, doubled, (loss.detach().clone(), gradient / 2), backend)


@pytest.mark.ops("weighted_cross_entropy")
@pytest.mark.devices("cuda")
def test_the_operator_of_the_loss_keeps_the_rules_of_torch(backend: str) -> None:
    """The others' opcheck, for every backend, is in test_torch_ops."""
    device, rng = device_of(backend), np.random.default_rng(8)
    logits = device.put(rng.standard_normal((2, BINS.n, 4, 5), dtype=np.float32)).requires_grad_()
    labels, weights = device.put(rng.integers(0, BINS.n, (2, 4, 5))), device.put(rng.random((2, 4, 5), np.float32))
    torch.library.opcheck(torch_ops._cross_entropy.default, (logits, labels, None, weights, weights, 0))


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.cases(EVERY)
def test_nobody_keeps_what_a_call_returned(backend: str, case: Case) -> None:
    device, inputs = device_of(backend), case.inputs(np.random.default_rng(9))
    there = put(device, inputs)
    warm(case, there, backend, device)
    results = case.call(there, backend)
    device.synchronize()
    left = [weakref.ref(result) for result in results]
    del results
    assert [kept() for kept in left] == [None] * len(left)


@pytest.mark.cases(EVERY)
@pytest.mark.devices("cuda")
def test_no_memory_is_kept_and_none_as_large_as_the_logits_is_taken(backend: str, case: Case) -> None:
    """Ten calls leave what one left; at its peak a call has its results, and half as much again as its inputs.

    The smoother has its own state as well, n-wide by nature. Nothing counts torch's memory on the CPU; what the kernels
    take there beside it is in test_agreement and test_loss.
    """
    device, inputs = Gpu(), case.inputs(np.random.default_rng(10))
    there = put(device, inputs)
    warm(case, there, backend, device)
    before = device.allocated()
    for _ in range(10):
        case.call(there, backend)
    device.synchronize()
    assert device.allocated() == before
    device.reset_peak()
    results = case.call(there, backend)
    device.synchronize()
    state = 4 if case.name == "smoothing" else 1
    rounded = 512 * (len(results) + 4)  # torch hands out multiples of 512 bytes
    allowed = state * sum(r.nbytes for r in results) + sum(a.nbytes for a in there.values()) // 2 + rounded
    assert device.peak() - before <= allowed


@pytest.mark.ops("decode", "annealed_mean")
def test_results_go_where_out_says(backend: str) -> None:
    device, rng = device_of(backend), np.random.default_rng(11)
    inputs = gpu_cases.frame_of(rng)
    there = put(device, inputs)
    pixels = inputs["luma"].shape
    rgb = torch.full((*pixels, 3), 7, dtype=torch.uint8, device=device.name)
    chroma = torch.full((2, *pixels), 7.0, device=device.name)
    assert fastcolor.decode(there["logits"], there["luma"], BINS, backend=backend, out=rgb) is rgb
    assert fastcolor.annealed_mean(there["logits"], BINS, backend=backend, out=chroma) is chroma
    gpu_cases.check_decoded(inputs, (rgb,), compare.arithmetic_of(backend))
    gpu_cases.check_chroma(inputs, (chroma,), compare.arithmetic_of(backend))


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.ops("decode")
def test_wrong_calls_are_told(backend: str) -> None:
    device = device_of(backend)
    there = put(device, gpu_cases.frame_of(np.random.default_rng(12)))
    logits, luma = there["logits"], there["luma"]
    with pytest.raises(ValueError, match=r"^logits: expected a tensor without gradient"):
        fastcolor.confidence(logits.clone().requires_grad_(), backend=backend)
    with pytest.raises(ValueError, match=r"^luma: expected device '.+' like logits, got 'meta'"):
        fastcolor.decode(logits, luma.to("meta"), BINS, backend=backend)
    with pytest.raises(TypeError, match=r"^luma: expected the same kind of array"):
        fastcolor.decode(logits, np.zeros(tuple(luma.shape), np.float32), BINS, backend=backend)
    with pytest.raises(fastcolor.BackendUnavailableError, match="takes arrays on device"):
        fastcolor.decode(logits.to("meta"), luma.to("meta"), BINS, backend=backend)


@pytest.mark.ops("decode")
@pytest.mark.devices("cuda")
def test_nothing_moves_between_cpu_and_gpu(backend: str) -> None:
    there = put(Gpu(), gpu_cases.frame_of(np.random.default_rng(13)))
    here = {name: array.cpu() for name, array in there.items()}
    with pytest.raises(ValueError, match=r"^luma: expected device 'cuda:0' like logits, got 'cpu'"):
        fastcolor.decode(there["logits"], here["luma"], BINS)
    with pytest.raises(fastcolor.BackendUnavailableError, match=f"{backend!r} takes arrays on device 'cpu'"):
        fastcolor.decode(here["logits"], here["luma"], BINS, backend=backend)
    with pytest.raises(fastcolor.BackendUnavailableError, match="'numba' takes arrays on device 'cuda:0'"):
        fastcolor.decode(there["logits"], there["luma"], BINS, backend="numba")


@pytest.mark.parametrize("for_each", ["pixel", "bin"])
def test_labels_out_of_range_make_the_loss_nan_on_a_gpu(for_each: str) -> None:
    """On the CPU they are an error (test_loss); on a GPU looking would mean waiting.

    The weight of a bin that is not there must not be read either: torch's lookup would end the whole process.
    """
    case = next(case for case in EVERY if case.name == "loss")
    inputs = case.inputs(np.random.default_rng(14))
    if for_each == "bin":
        inputs["weights"] = np.random.default_rng(15).random(BINS.n, np.float32)
    inputs["labels"][1, 2, 3] = BINS.n
    expected = reference.weighted_cross_entropy(
        inputs["logits"], np.minimum(inputs["labels"], BINS.n - 1), inputs["weights"]
    )
    assert np.isfinite(expected)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=f"labels: expected 0 to {BINS.n - 1}"):
            case.call(put(Host(), inputs), "numba")
        return
    assert case.call(put(Gpu(), inputs), "cupy")[0].isnan()
