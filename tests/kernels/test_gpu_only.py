"""What has no counterpart on the CPU: cold captures, CuPy's streams, a second GPU, arrays beyond 32-bit indices.

All of it skips where torch sees no GPU, and fails there if FASTCOLOR_REQUIRE_GPU=1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import compare
import gpu_cases
import numpy as np
import pytest
import torch
from fastcolor.kernels import registry
from gpu_cases import BINS, Case
from gpu_cases_lab import EVERY
from gpu_device import Gpu

import fastcolor

pytestmark = pytest.mark.gpu(backend="cupy")

BACKEND = "cupy"
ARITHMETIC = compare.arithmetic_of(BACKEND)
every_case = pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
array_cases = pytest.mark.parametrize("case", [case for case in EVERY if not case.torch_only], ids=lambda c: c.name)


def there(inputs: gpu_cases.Inputs, device: int = 0) -> gpu_cases.Inputs:
    return {name: torch.from_numpy(array).to(f"cuda:{device}") for name, array in inputs.items()}


# --- captured before it was ever called -------------------------------------------------------------------------------


@pytest.fixture
def _nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.load(BACKEND).ENGINE, "_functions", {})


@pytest.mark.usefixtures("_nothing_compiled")
@pytest.mark.parametrize("case", [case for case in EVERY if case.capturable], ids=lambda case: case.name)
def test_a_first_call_within_a_capture_says_what_to_do(case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(1))
    arrays = there(inputs)
    torch.cuda.synchronize()
    with pytest.raises(RuntimeError, match=r"call .*once .*before|once before"):
        Gpu().capture(lambda: case.call(arrays, BACKEND))
    case.check(inputs, case.call(arrays, BACKEND), ARITHMETIC)  # and nothing is broken afterwards


# --- CuPy -------------------------------------------------------------------------------------------------------------

_SPIN = 'extern "C" __global__ void spin(long long cycles) { for (long long t = clock64(); clock64() - t < cycles;); }'


@array_cases
def test_cupy_arrays_on_a_stream_that_ignores_the_default_one(case: Case) -> None:
    import cupy

    inputs = case.inputs(np.random.default_rng(2))
    spin = cupy.RawKernel(_SPIN, "spin")
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        case.call({name: cupy.asarray(array) for name, array in inputs.items()}, BACKEND)  # compiled
        stream.synchronize()
        sources = {name: cupy.asarray(array) for name, array in inputs.items()}
        arrays = {name: source.copy() for name, source in sources.items()}
        for name, array in arrays.items():
            array[...] = sources[name]  # CuPy compiles this as well
            array.fill(0)
        stream.synchronize()
        spin((1,), (1,), (np.int64(300_000_000),))
        for name, array in arrays.items():
            array[...] = sources[name]
        results = case.call(arrays, BACKEND)
        assert not stream.done, "the call waited for the stream"
        assert all(isinstance(result, cupy.ndarray) for result in results)
    stream.synchronize()
    case.check(inputs, results, ARITHMETIC)


@pytest.mark.parametrize(
    "case", [case for case in EVERY if case.capturable and not case.torch_only], ids=lambda case: case.name
)
def test_a_graph_of_cupy_is_replayed_with_changed_inputs(case: Case) -> None:
    import cupy

    rng = np.random.default_rng(3)
    arrays = {name: cupy.asarray(array) for name, array in case.inputs(rng).items()}
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(2):
            case.call(arrays, BACKEND)
        stream.synchronize()
        stream.begin_capture()
        results = case.call(arrays, BACKEND)
        graph = stream.end_capture()
        for _ in range(3):
            inputs = case.inputs(rng)
            for name, array in inputs.items():
                arrays[name].set(array)
            graph.launch(stream)
            stream.synchronize()
            case.check(inputs, results, ARITHMETIC)


# --- a second GPU -----------------------------------------------------------------------------------------------------


@every_case
def test_arrays_of_the_second_gpu_are_worked_on_there(case: Case) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    inputs = case.inputs(np.random.default_rng(4))
    assert torch.cuda.current_device() == 0
    results = case.call(there(inputs, device=1), BACKEND)
    assert torch.cuda.current_device() == 0, "the current device was changed"
    assert {str(result.device) for result in results} == {"cuda:1"}
    case.check(inputs, results, ARITHMETIC)


def test_arrays_of_two_gpus_are_refused() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    inputs = gpu_cases.frame_of(np.random.default_rng(5))
    with pytest.raises(ValueError, match="luma: expected device 'cuda:0' like logits, got 'cuda:1'"):
        fastcolor.decode(there(inputs)["logits"], there(inputs, device=1)["luma"], BINS)


# --- more than 2^32 elements ------------------------------------------------------------------------------------------

BEYOND = 2**32
GROUP = 64  # pixels: sizes that are a multiple take the wide way through a kernel, in the whole and in its tiles
WINDOW = 4096  # pixels that are compared with the reference; all are compared with a small call


@pytest.fixture
def _memory() -> Iterator[None]:
    torch.cuda.empty_cache()
    yield
    torch.cuda.empty_cache()


def need(gigabytes: float) -> None:
    free = torch.cuda.mem_get_info()[0] / 1e9
    if free < gigabytes:
        pytest.skip(f"needs {gigabytes:g} GB of free GPU memory, there are {free:.0f}")


def tiles(length: int, count: int = 8) -> Iterator[slice]:
    """Slices that cover ``range(length)``, none of which needs a 64-bit index."""
    edges = [GROUP * (k * length // count // GROUP) for k in range(count)] + [length]
    return (slice(a, b) for a, b in itertools.pairwise(edges))


def windows(length: int, elements_a_pixel: int) -> Iterator[slice]:
    """The ends, and where a 32-bit index would turn negative or start again."""
    edges = [2**31 // elements_a_pixel, 2**32 // elements_a_pixel]
    starts = [0, *(min(edge - WINDOW // 2, length - WINDOW) for edge in edges), length - WINDOW]
    return (slice(start, start + WINDOW) for start in starts)


def pixels_of(elements_a_pixel: int, odd: bool = False) -> int:
    return GROUP * ((BEYOND // elements_a_pixel + 12_345) // GROUP) + odd


def same_in_tiles(call: Callable[..., Any], arrays: list[Any], axes: list[int], results: Any, out: list[int]) -> None:
    """A call on each tile of `arrays`, cut on `axes`, gives that tile of the results, cut on the axes `out`."""
    for tile in tiles(arrays[0].shape[axes[0]]):
        part = call(*(cut(array, tile, axis).contiguous() for array, axis in zip(arrays, axes, strict=True)))
        for one, whole, axis in zip(part, results, out, strict=True):
            assert torch.equal(one, cut(whole, tile, axis))


def cut(array: Any, tile: slice, axis: int) -> Any:
    return array.movedim(axis, 0)[tile].movedim(0, axis)


planar_or_last = pytest.mark.parametrize("planar", [True, False], ids=["planar", "channels_last"])


def large_logits(pixels: int, planar: bool) -> Any:
    """2^32 float16 logits are 8.6 GB."""
    shape = (BINS.n, pixels) if planar else (pixels, BINS.n)
    logits = torch.empty(shape, dtype=torch.float16, device="cuda")
    return logits.normal_(std=3, generator=torch.Generator("cuda").manual_seed(6))


@pytest.mark.usefixtures("_memory")
@planar_or_last
@pytest.mark.parametrize("odd", [False, True], ids=["wide", "odd"])
def test_logits_beyond_32_bits(planar: bool, odd: bool) -> None:
    """decode and annealed mean."""
    need(16)
    pixels, axis, along = pixels_of(BINS.n, odd), 0 if planar else -1, 1 if planar else 0
    logits, luma = large_logits(pixels, planar), torch.rand(pixels, device="cuda")

    def call(x: Any, y: Any) -> Any:
        rgb = fastcolor.decode(x, y, BINS, axis=axis, backend=BACKEND)
        return rgb, fastcolor.annealed_mean(x, BINS, axis=axis, backend=BACKEND)

    rgb, chroma = call(logits, luma)
    if not odd:  # else the tiles take another way, and round differently
        same_in_tiles(call, [logits, luma], [along, 0], [rgb, chroma], [0, along])
    options = {"temperature": 0.38, "axis": axis, "arithmetic": ARITHMETIC}
    for window in windows(pixels, BINS.n):
        x = cut(logits, window, along)
        compare.assert_decoded(rgb[window], x, luma[window], BINS, **options)
        compare.assert_chroma_close(cut(chroma, window, along), x, BINS, **options)


@pytest.mark.usefixtures("_memory")
@planar_or_last
def test_gradients_beyond_32_bits(planar: bool) -> None:
    """Of the annealed mean, as large as the logits."""
    need(26)
    pixels, axis, along = pixels_of(BINS.n), 0 if planar else -1, 1 if planar else 0
    logits = large_logits(pixels, planar)
    upstream = torch.rand((2, pixels) if planar else (pixels, 2), device="cuda").half()

    def call(x: Any, g: Any) -> Any:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(fastcolor.annealed_mean(x, BINS, axis=axis, backend=BACKEND), x, g)

    (gradient,) = call(logits, upstream)
    same_in_tiles(call, [logits, upstream], [along, along], [gradient], [along])
    for window in windows(pixels, BINS.n):
        ours, g, x = (cut(array, window, along) for array in (gradient, upstream, logits))
        compare.assert_annealed_gradient_close(
            ours, g, x, BINS, temperature=0.38, axis=axis, arithmetic=compare.arithmetic_of(BACKEND)
        )


@pytest.mark.usefixtures("_memory")
def test_images_beyond_32_bits() -> None:
    """encode and histogram of 2^32 bytes of RGB, four times as many of luma, labels and weights."""
    need(26)
    pixels = pixels_of(3)
    rgb = torch.randint(0, 256, (pixels, 3), dtype=torch.uint8, device="cuda")

    def encode(part: Any) -> Any:
        return fastcolor.encode(part, BINS, backend=BACKEND)

    results = encode(rgb)
    same_in_tiles(encode, [rgb], [0], results, [0, 0, 0])
    for window in windows(pixels, 3):
        compare.assert_encoded(tuple(r[window] for r in results), compare.as_numpy(rgb[window]), BINS, 0.2)
    del results
    counts = fastcolor.histogram(rgb, 17, backend=BACKEND)
    parts = sum(fastcolor.histogram(rgb[tile], 17, backend=BACKEND) for tile in tiles(pixels))
    assert torch.equal(counts, parts)
    assert int(counts.sum()) == pixels


@pytest.mark.usefixtures("_memory")
def test_merged_images_beyond_32_bits() -> None:
    need(16)
    height, width = 20_000, BEYOND // 3 // 20_000 + 13
    luma = torch.randint(0, 256, (height, width), dtype=torch.uint8, device="cuda")
    chroma = 0.4 * torch.rand((2, 50, 70), device="cuda") - 0.2
    rgb = fastcolor.merge(chroma, luma, backend=BACKEND)
    assert rgb.numel() > BEYOND
    ends = ((slice(0, 2), slice(0, 1)), (slice(-2, None), slice(-1, None)))
    for rows, sample in ends:  # the first and the last rows lie beyond the centers of the samples there
        compare.assert_merged(rgb[rows], chroma[:, sample], luma[rows])


@pytest.mark.usefixtures("_memory")
def test_a_film_beyond_32_bits() -> None:
    """2^32 float16 logits a frame, float32 sums and a uint8 ring of two frames: 35 GB, and 17 more for p̂."""
    need(56)
    height, width = 8192, BEYOND // BINS.n // 8192 + 3
    generator = torch.Generator("cuda").manual_seed(7)
    frames = torch.empty((BINS.n, height, width), dtype=torch.float16, device="cuda")
    luma = torch.rand((height, width), device="cuda")
    rows = slice(-4, None)  # four rows, as the whole film, are a multiple of the pixels that a thread takes
    options = {"window": 1, "ring": "uint8", "backend": BACKEND}
    film, strip = fastcolor.TemporalSmoother(BINS, **options), fastcolor.TemporalSmoother(BINS, **options)
    for _ in range(3):
        frames.normal_(std=3, generator=generator)
        rgb = film.step(frames, luma)
        last = strip.step(frames[:, rows].contiguous(), luma[rows].contiguous())
        assert torch.equal(rgb[rows], last)
    assert torch.equal(film.probabilities[:, rows], strip.probabilities)


@pytest.mark.usefixtures("_memory")
def test_the_loss_beyond_32_bits() -> None:
    """2^32 bfloat16 logits and their gradient: the loss of the whole is the mean of those of two halves."""
    need(28)
    shape = (2, BINS.n, 4096, BEYOND // 2 // BINS.n // 4096 + 3)
    logits = torch.empty(shape, dtype=torch.bfloat16, device="cuda")
    logits.normal_(std=3, generator=torch.Generator("cuda").manual_seed(8))
    labels = torch.randint(0, BINS.n, (2, *shape[2:]), dtype=torch.uint8, device="cuda")
    weights = torch.ones((2, *shape[2:]), device="cuda")

    def loss_of(x: Any, y: Any, w: Any) -> tuple[Any, Any]:
        x = x.detach().requires_grad_()
        loss = fastcolor.weighted_cross_entropy(x, y, w)
        return loss.detach(), torch.autograd.grad(loss, x)[0]

    loss, gradient = loss_of(logits, labels, weights)
    halves = []
    for half in (slice(0, 1), slice(1, 2)):
        value, part = loss_of(logits[half], labels[half], weights[half])
        halves.append(value)
        whole, part = gradient[half, :, -64:].float(), part[:, :, -64:].float()
        # Each is rounded to bfloat16 on its own, from float32 numbers half and twice as large.
        assert (2 * whole - part).abs().max() <= 2.0**-7 * part.abs().max()
    assert float(loss) == pytest.approx(float(sum(halves) / 2), rel=1e-5)
