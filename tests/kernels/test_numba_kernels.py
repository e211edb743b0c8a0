"""What only the Numba kernels can get wrong: block edges, the redo path, threads, ring, other CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from fastcolor.kernels.numba_cpu import decode as numba_decode
from fastcolor.kernels.numba_cpu import ops, temporal
from fastcolor.kernels.numba_cpu import pixels as numba_pixels
from fastcolor.kernels.numba_cpu import threads as _threads

from fastcolor import reference

BINS = 32
rng = np.random.default_rng(7)


@pytest.fixture
def bins() -> reference.ColorBins:
    colors = (rng.uniform(-1, 1, (BINS, 2)) * [0.4, 0.6]).astype(np.float32)
    prior = rng.random(BINS) + 0.01
    return reference.ColorBins(rng.integers(0, BINS, (17, 17)).astype(np.uint8), colors, prior / prior.sum())


@pytest.fixture
def threads() -> Iterator[None]:
    before = _threads._threads
    yield
    _threads._threads = before


def _scene(pixels: int, spread: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    logits = (spread * rng.standard_normal((BINS, 1, pixels))).astype(np.float32)
    return logits, rng.integers(0, 256, (1, pixels)).astype(np.uint8)


def _levels_apart(rgb: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(rgb.astype(int) - expected).max())


@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 31, *(numba_decode.BLOCK + k for k in (-1, 0, 1, 15, 16, 17))])
def test_decode_is_right_at_block_edges(bins: reference.ColorBins, pixels: int) -> None:
    logits, luma = _scene(pixels)
    rgb, top, _ = ops.decode(logits, luma, bins, confidence=True)
    expected, expected_top, _ = reference.decode(logits, luma, bins, confidence=True)
    assert _levels_apart(rgb, expected) <= 1
    assert (rgb != expected).mean() < 1e-3
    np.testing.assert_allclose(top, expected_top, rtol=1e-5)


@pytest.mark.parametrize("pixels", [1, 15, 16, 17, *(numba_pixels.BLOCK + k for k in (-1, 0, 1, 15, 17))])
def test_counting_takes_every_pixel_once(pixels: int) -> None:
    rgb = rng.integers(0, 256, (pixels, 3)).astype(np.uint8)
    for image, axis in ((rgb, -1), (np.ascontiguousarray(rgb.T), 0)):
        assert (ops.histogram(image, 17, channel_axis=axis) == reference.histogram(rgb, 17)).all()
        counts, sums, squares = ops.chroma_moments(image, 17, channel_axis=axis)
        expected_counts, expected_sums, expected_squares = reference.chroma_moments(rgb, 17)
        assert (counts == expected_counts).all()
        assert (sums == expected_sums).all()
        np.testing.assert_allclose(squares, expected_squares, rtol=1e-12)


@pytest.mark.parametrize("cells", [1, 2, 10, 17, 31, 37, 65, 254])
def test_cell_arithmetic_is_exact_for_every_chroma(cells: int) -> None:
    """Both forms of `_cell_index`, the sure one and that with the integer remainder, at every edge of every cell."""
    table = rng.integers(0, BINS, (cells, cells)).astype(np.uint8)
    bins = reference.ColorBins(table, np.zeros((BINS, 2), np.float32), np.full(BINS, 1 / BINS))
    levels = np.arange(0, 256, 3, dtype=np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    labels = ops.encode(rgb, bins)[1]
    assert (labels == table[reference.cell_of(rgb, cells)]).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30, -1e30, 60.0])
@pytest.mark.parametrize("temperature", [0.0, 0.01, 0.38, 50.0])
def test_one_extreme_pixel_does_not_change_its_neighbours(
    bins: reference.ColorBins, odd: float, temperature: float
) -> None:
    """It sends its whole block down the path that subtracts the maximum."""
    logits, luma = _scene(200)
    logits[5, 0, 100] = odd
    rgb, top, ratio = ops.decode(logits, luma, bins, temperature=temperature, confidence=True)
    expected, expected_top, expected_ratio = reference.decode(
        logits, luma, bins, temperature=temperature, confidence=True
    )
    assert _levels_apart(rgb, expected) <= 1
    np.testing.assert_allclose(top, expected_top, rtol=1e-5)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(ratio, expected_ratio.astype(np.float32), rtol=1e-5)


def test_results_do_not_depend_on_threads(bins: reference.ColorBins, threads: None) -> None:
    logits, luma = _scene(_threads.PARALLEL_PIXELS + 5)
    rgb = rng.integers(0, 256, (_threads.PARALLEL_PIXELS + 5, 3)).astype(np.uint8)
    results = []
    for count in (1, 3):
        _threads.set_num_threads(count)
        smoother = ops.TemporalSmoother(bins, window=2)
        results.append(
            [
                ops.decode(logits, luma, bins),
                *ops.encode(rgb, bins),
                ops.histogram(rgb, 17),
                smoother.step(logits, luma),
                smoother.step(logits, luma),
            ]
        )
    for alone, shared in zip(*results, strict=True):
        assert (alone == shared).all()


def test_an_exception_in_one_thread_waits_for_the_others(threads: None) -> None:
    _threads.set_num_threads(2)
    finished = []

    def kernel(first: int, last: int) -> None:
        if first == 0:
            raise RuntimeError("planted")
        finished.append(last)

    with pytest.raises(RuntimeError, match="planted"):
        _threads.run_blocks(kernel, 8, _threads.PARALLEL_PIXELS)
    assert finished == [8]


@pytest.mark.parametrize(
    ("threads_wanted", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_number_of_threads_is_checked(threads_wanted: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="threads: expected"):
        _threads.set_num_threads(threads_wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("ring", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_ring_error_stays_within_its_bound(bins: reference.ColorBins, ring: str, alpha: float) -> None:
    """d S if p is added as stored, d e^-(α (w + 1)) / (1 - e^-α) if p is added as it is, whichever is used."""
    window, frames, pixels = 4, 60, 33
    smoother = ops.TemporalSmoother(bins, alpha=alpha, window=window, ring=ring)
    truth = reference.TemporalSmoother(bins, alpha=alpha, window=window)
    for _ in range(frames):
        logits, luma = _scene(pixels)
        smoother.step(logits, luma)
        truth.step(logits, luma)
    step = {"float32": 2.0**-24, "float16": 2.0**-11, "uint8": 1 / 510}[ring]
    total = sum(np.exp(-alpha * k) for k in range(window + 1))
    leaving = np.exp(-alpha * (window + 1))
    bound = step * total if leaving > 0.5 else step * leaving / (1 - np.exp(-alpha))
    bound += 16 * 2.0**-24 * total**2
    assert np.abs(smoother.probabilities - truth.probabilities).max() < 2 * bound / total


def test_recursion_without_decay_does_not_drift(bins: reference.ColorBins) -> None:
    """α = 0: no rounding error ever decays, but each block is summed anew from the ring."""
    window, frames = 5, 2 * temporal.REFRESH + 9
    smoother = ops.TemporalSmoother(bins, alpha=0.0, window=window)
    past = []
    for _ in range(frames):
        logits, luma = _scene(20)
        smoother.step(logits, luma)
        past = [*past, reference.softmax(logits)][-window - 1 :]
    expected = sum(past) / (window + 1)
    assert np.abs(smoother.probabilities - expected).max() < temporal.REFRESH * 2.0**-24


_FRESH = """
import numpy as np
from fastcolor import reference
from fastcolor.kernels.numba_cpu import ops
from fastcolor.kernels.cache import cache_folder
bins = reference.ColorBins(np.zeros((17, 17), np.uint8), np.full((32, 2), 0.1, np.float32), np.full(32, 1 / 32))
bins.table[3:9, 4:] = 5
logits = np.random.default_rng(0).standard_normal((32, 5, 50)).astype(np.float32) * 4
luma, image = np.full((5, 50), 90, np.uint8), np.arange(750, dtype=np.uint8).reshape(5, 50, 3)
for kernels in (ops, reference):
    rgb, top, ratio = kernels.decode(logits, luma, bins, confidence=True)
    labels = kernels.encode(image, bins)[1]
    print(rgb.sum(), labels.sum(), round(float(top.sum()), 3))
print(cache_folder())
"""


def _run_fresh(**environment: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", _FRESH], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == lines[1], "kernel and reference differ"
    return lines


def test_another_cpu_gets_the_portable_exponential(tmp_path: object) -> None:
    """Code for a CPU without AVX-512, and for one without fused multiply-add; cached where the user wants it."""
    for features in ("+avx2,+fma", ""):
        lines = _run_fresh(NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features, NUMBA_CACHE_DIR=str(tmp_path))
        assert lines[-1].startswith(str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_its_own_threads(bins: reference.ColorBins, threads: None) -> None:
    _threads.set_num_threads(2)
    logits, luma = _scene(_threads.PARALLEL_PIXELS)
    expected = ops.decode(logits, luma, bins)
    child = os.fork()
    if child == 0:
        os._exit(int(not (ops.decode(logits, luma, bins) == expected).all()))
    assert os.waitpid(child, 0)[1] == 0


def test_read_only_and_strided_arrays(bins: reference.ColorBins) -> None:
    """A read-only input runs the same compiled kernel; a strided `out` is filled through a buffer."""
    logits, luma = _scene(77)
    expected = ops.decode(logits, luma, bins)
    compiled = len(numba_decode.decode_planar.signatures)
    logits.flags.writeable = luma.flags.writeable = False
    out = np.zeros((1, 154, 3), np.uint8)[:, ::-2]
    assert (ops.decode(logits, luma, bins, out=out) == expected).all()
    assert len(numba_decode.decode_planar.signatures) == compiled
