"""The host shim itself: CUDA's words mean on the CPU what they mean on a GPU, and what CUDA forbids is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_host import backend, build
from cuda_host.host_module import HostModule, LaunchError
from fastcolor.kernels.cupy_cuda.source import OPTIONS, constants, linear_light, source
from fastcolor.reference import constants as reference_constants
from fastcolor.reference import yuv_to_rgb
from fastcolor.reference.cells import chroma_numerators
from fastcolor.reference.color import rgb_to_lab

Array = np.ndarray
LANES = np.arange(32)


def kernel(text: str, name: str = "test", **settings: Any) -> Any:
    """The kernel `name` of a text."""
    return HostModule(code=text, options=OPTIONS, name_expressions=(name,), **settings).get_function(name)


def address(array: Array) -> np.uint64:
    return np.uint64(array.ctypes.data)


def run(text: str, *arrays: Array, block: int = 32, grid: int = 1, shared: int = 0, **settings: Any) -> None:
    """Launch a text's kernel `test`, whose parameters are pointers."""
    kernel(text, **settings)((grid,), (block,), tuple(map(address, arrays)), shared_mem=shared)


def lanes_of(expression: str, mine: Array) -> Array:
    """What `expression` of `x`, the lane's own element of `mine`, gives in each lane of a warp."""
    out = np.empty_like(mine)
    kind = {"uint32": "unsigned", "float32": "float", "uint64": "unsigned long long"}[str(mine.dtype)]
    parameters = f"const {kind} *in, {kind} *out"
    text = f"__global__ void test({parameters}) {{ {kind} x = in[threadIdx.x]; out[threadIdx.x] = {expression}; }}"
    run(text, mine, out)
    return out


# --- numbers ----------------------------------------------------------------------------------------------------------

_HALVES = """
__global__ void test(fc::f16 *half, float *single, fc::f16 *back, fc::bf16 *other, float *wide, fc::bf16 *again) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    single[i] = fc::to_float(half[i]);
    back[i] = fc::from_float<fc::f16>(single[i]);
    wide[i] = fc::to_float(other[i]);
    again[i] = fc::from_float<fc::bf16>(wide[i]);
}
"""
_ROUND = """
__global__ void test(float *from, fc::f16 *half, fc::bf16 *other) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    half[i] = fc::from_float<fc::f16>(from[i]);
    other[i] = fc::from_float<fc::bf16>(from[i]);
}
"""


def test_halves_are_exact_on_all_patterns() -> None:
    bits = np.arange(1 << 16).astype(np.uint16)
    single, back, wide, again = (np.empty(1 << 16, kind) for kind in (np.float32, np.uint16, np.float32, np.uint16))
    run(source("decode") + _HALVES, bits, single, back, bits, wide, again, block=256, grid=256)
    expected = bits.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(single, expected)
    np.testing.assert_array_equal(wide, (bits.astype(np.uint32) << 16).view(np.float32))
    np.testing.assert_array_equal(back[expected == expected], bits[expected == expected])
    np.testing.assert_array_equal(again[wide == wide], bits[wide == wide])
    assert np.isnan(back[expected != expected].view(np.float16)).all()
    assert np.isnan((again[wide != wide].astype(np.uint32) << 16).view(np.float32)).all()


def test_halves_round_to_the_nearest_and_ties_to_even() -> None:
    """Every half, the tie above it, and the neighbours of the tie."""
    bits = np.arange(0x7C00).astype(np.uint16)
    below, above = (number.view(np.float16).astype(np.float64) for number in (bits, bits + np.uint16(1)))
    ties = np.where(np.isinf(above), 65520.0, (below + above) / 2).astype(np.float32)
    near = np.concatenate([ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(np.inf))])
    values = np.concatenate([near, -near]).astype(np.float32)
    values = np.resize(values, -(-len(values) // 256) * 256)
    half, other = np.empty(len(values), np.uint16), np.empty(len(values), np.uint16)
    run(source("decode") + _ROUND, values, half, other, block=256, grid=len(values) // 256)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(half, values.astype(np.float16).view(np.uint16))
    below = values.view(np.uint32) >> 16 << 16
    above = below + np.uint32(1 << 16)
    far = [np.abs(part.view(np.float32).astype(np.float64) - values) for part in (below, above)]
    up = (far[1] < far[0]) | ((far[1] == far[0]) & (above >> 16 & 1 == 0))
    expected = (np.where(up, above, below) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("__umulhi(x, 0xdeadbeef)", lambda x: x.astype(object) * 0xDEADBEEF >> 32),
        ("__popc(x)", lambda x: [int(v).bit_count() for v in x]),
        ("__clz((int)x)", lambda x: [32 - int(v).bit_length() for v in x]),
        ("__ffs((int)x)", lambda x: [(int(v) & -int(v)).bit_length() for v in x]),
        ("__byte_perm(x, 0x44332211, 0x5410)", lambda x: [0x22110000 | int(v) & 0xFFFF for v in x]),
        ("__byte_perm(x, 0, 0x0123)", lambda x: [int.from_bytes(int(v).to_bytes(4, "little"), "big") for v in x]),
        ("__funnelshift_r(x, 1, 4)", lambda x: [(1 << 32 | int(v)) >> 4 & 0xFFFFFFFF for v in x]),
        ("__float_as_uint(__uint_as_float(x))", lambda x: x),
        ("min(x, 7u) + max(x, 9u)", lambda x: [(min(int(v), 7) + max(int(v), 9)) & 0xFFFFFFFF for v in x]),
    ],
)
def test_integer_functions(expression: str, expected: Any) -> None:
    x = np.random.default_rng(1).integers(0, 1 << 32, 32, np.uint32)
    x[:3] = 0, 1, 0xFFFFFFFF
    # NaN bits are not among them: copying one through a register of floats may quiet it.
    x[(x & 0x7F800000) == 0x7F800000] = 5
    assert lanes_of(expression, x).tolist() == [int(v) for v in expected(x)]


# --- threads that meet ------------------------------------------------------------------------------------------------

_REVERSE = """
__global__ void test(const float *from, float *to) {
    extern __shared__ uint4 memory[];
    __shared__ float other[256];
    float *tile = reinterpret_cast<float *>(memory);
    const unsigned i = threadIdx.x, last = blockDim.x - 1, base = blockIdx.x * blockDim.x;
    tile[i] = from[base + i];
    __syncthreads();
    other[last - i] = tile[last - i] + 1;
    __syncthreads();
    to[base + i] = tile[last - i] + other[i];
}
"""


@pytest.mark.parametrize("mode", ["fibers", "threads"])
@pytest.mark.parametrize("block", [1, 31, 32, 33, 256])
def test_threads_of_a_block_meet(block: int, mode: str) -> None:
    x = np.arange(3 * block, dtype=np.float32)
    out = np.empty_like(x)
    run(_REVERSE, x, out, block=block, grid=3, shared=4 * block, mode=mode)
    np.testing.assert_array_equal(out.reshape(3, block), x.reshape(3, block)[:, ::-1] + x.reshape(3, block) + 1)


ALL = "0xffffffffu"


@pytest.mark.parametrize(
    ("expression", "source_lane"),
    [
        (f"__shfl_sync({ALL}, x, 5)", np.full(32, 5)),
        (f"__shfl_sync({ALL}, x, threadIdx.x + 3)", (LANES + 3) % 32),
        (f"__shfl_sync({ALL}, x, 1, 8)", LANES // 8 * 8 + 1),
        (f"__shfl_up_sync({ALL}, x, 3)", np.where(LANES >= 3, LANES - 3, LANES)),
        (f"__shfl_up_sync({ALL}, x, 1, 4)", np.where(LANES % 4 >= 1, LANES - 1, LANES)),
        (f"__shfl_down_sync({ALL}, x, 7)", np.where(LANES < 25, LANES + 7, LANES)),
        (f"__shfl_down_sync({ALL}, x, 1, 2)", np.where(LANES % 2 < 1, LANES + 1, LANES)),
        (f"__shfl_xor_sync({ALL}, x, 16)", LANES ^ 16),
        (f"__shfl_xor_sync({ALL}, x, 3, 8)", LANES ^ 3),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint32, np.float32, np.uint64])
def test_shuffles(expression: str, source_lane: Array, dtype: Any) -> None:
    x = (1000 + LANES**2).astype(dtype)
    np.testing.assert_array_equal(lanes_of(expression, x), x[source_lane])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f"__ballot_sync({ALL}, x % 3 == 0)", lambda x: [sum(1 << k for k in range(32) if x[k] % 3 == 0)] * 32),
        (f"__any_sync({ALL}, x == 8)", lambda x: [int(8 in x)] * 32),
        (f"__all_sync({ALL}, x < 8)", lambda x: [int(max(x) < 8)] * 32),
        (f"__reduce_add_sync({ALL}, x)", lambda x: [sum(x)] * 32),
        (f"__match_any_sync({ALL}, x)", lambda x: [sum(1 << k for k in range(32) if x[k] == v) for v in x]),
    ],
)
@pytest.mark.parametrize("x", [LANES, LANES % 8, LANES // 7])
def test_votes(expression: str, expected: Any, x: Array) -> None:
    assert lanes_of(expression, x.astype(np.uint32)).tolist() == expected([int(v) for v in x])


def test_a_part_of_a_warp_may_meet() -> None:
    x = LANES.astype(np.uint32)
    odd = "threadIdx.x % 2 ? __shfl_xor_sync(0xaaaaaaaau, x, 2) : __shfl_sync(0x55555555u, x, 4)"
    np.testing.assert_array_equal(lanes_of(odd, x), np.where(LANES % 2, LANES ^ 2, 4))


def test_atomic_functions_lose_nothing() -> None:
    text = """__global__ void test(
        unsigned *sum, unsigned long long *wide, float *real, unsigned *least, unsigned *most) {
        const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
        atomicAdd(sum, i);
        atomicAdd(wide, 1ull << 32);
        atomicAdd(real, 0.5f);
        atomicMin(least, i + 3);
        atomicMax(most, i);
    }"""
    total, least, most = np.zeros(1, np.uint32), np.full(1, 99, np.uint32), np.zeros(1, np.uint32)
    wide, real = np.zeros(1, np.uint64), np.zeros(1, np.float32)
    run(text, total, wide, real, least, most, block=64, grid=5, order=3)
    assert (total[0], int(wide[0]) >> 32, real[0], least[0], most[0]) == (320 * 319 // 2, 320, 160.0, 3, 319)


# --- what CUDA forbids ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("if (threadIdx.x < 5) __syncthreads();", "thread \\(5, 0, 0\\) has returned"),
        ("if (threadIdx.x < 5) return; __syncthreads();", "thread \\(0, 0, 0\\) has returned"),
        ("if (threadIdx.x < 5) __syncthreads(); else __syncwarp();", "waits in __syncthreads, line 1"),
        ("if (threadIdx.x < 5) {\n__syncthreads();\n} else {\n__syncthreads();\n}", "line 2, thread .* line 4"),
        ("if (threadIdx.x < 5)\n__syncwarp();\nelse\n__syncwarp();", "line 2"),
        ("if (threadIdx.x) __syncwarp();", "in vain: thread \\(0, 0, 0\\) has returned"),
        ("__syncwarp(0xfffffffe);", "calling lane 0 is not in the mask"),
        ("__shfl_sync(1u << threadIdx.x, x[0], 3);", "reads lane 3, which is not in its mask"),
        ("__shfl_xor_sync(0xffffffff, x[0], 1, 12);", "width 12"),
    ],
)
def test_threads_that_cannot_meet_are_an_error(body: str, message: str) -> None:
    x = np.zeros(64, np.float32)
    text = f"__global__ void test(float *x) {{ {body} x[threadIdx.x] = 1; }}"
    with pytest.raises(LaunchError, match=message):
        run(text, x, block=64)


def test_serial_mode_refuses_to_meet() -> None:
    x = np.arange(8, dtype=np.float32)
    run("__global__ void test(float *x) { x[threadIdx.x] *= 2; }", x, block=8, mode="serial")
    np.testing.assert_array_equal(x, 2 * np.arange(8))
    with pytest.raises(LaunchError, match="__syncthreads in serial mode"):
        run("__global__ void test(float *x) { __syncthreads(); }", x, mode="serial")


def test_a_module_goes_on_after_an_error() -> None:
    test = kernel(
        "__global__ void test(float *x, int bad) { if (threadIdx.x < bad) return; __syncthreads(); *x += 1; }"
    )
    x = np.zeros(1, np.float32)
    for _ in range(50):
        with pytest.raises(LaunchError, match="in vain"):
            test((1,), (96,), (address(x), np.int32(40)))
        x[0] = 0
        test((2,), (96,), (address(x), np.int32(0)))
        assert x[0] == 192


@pytest.mark.parametrize("order", [-1, 1, 2])
def test_another_order_shows_what_depends_on_it(order: int) -> None:
    last = np.zeros(2, np.uint32)
    text = "__global__ void test(unsigned *x) { x[0] = blockIdx.x * blockDim.x + threadIdx.x; x[1] += 1; }"
    run(text, last, block=64, grid=4)
    assert last.tolist() == [255, 256]
    run(text, last, block=64, grid=4, order=order)
    assert last[0] != 255
    assert last[1] == 512


def test_shared_memory_begins_as_nan() -> None:
    text = """__global__ void test(float *x) {
        extern __shared__ uint4 memory[];
        __shared__ float fixed[32];
        float *given = reinterpret_cast<float *>(memory);
        x[2 * (32 * blockIdx.x + threadIdx.x)] = given[threadIdx.x];
        x[2 * (32 * blockIdx.x + threadIdx.x) + 1] = fixed[threadIdx.x];
        given[threadIdx.x] = fixed[threadIdx.x] = 1;
    }"""
    x = np.zeros(128, np.float32)
    run(text, x, grid=2, shared=128)
    assert np.isnan(x).all()


# --- launches ---------------------------------------------------------------------------------------------------------

_NOTHING = "__global__ void test(float *x) {}"


@pytest.mark.parametrize(
    ("grid", "block", "shared", "message"),
    [
        ((1,), (1025,), 0, "block.x: expected 1..1024, got 1025"),
        ((1,), (32, 64), 0, "at most 1024 threads, got 2048"),
        ((1,), (1, 1, 65), 0, "block.z"),
        ((1, 65536), (1,), 0, "grid.y: expected 1..65535, got 65536"),
        ((0,), (1,), 0, "grid.x: expected 1..2147483647, got 0"),
        ((1,), (0,), 0, "block.x"),
        ((1,), (1,), (48 << 10) + 1, "shared_mem: expected 0..49152"),
    ],
)
def test_limits_of_a_launch(grid: Any, block: Any, shared: int, message: str) -> None:
    test, x = kernel(_NOTHING), np.zeros(1, np.float32)
    test((1, 65535), (1,), (address(x),), shared_mem=48 << 10)
    with pytest.raises(LaunchError, match=message):
        test(grid, block, (address(x),), shared_mem=shared)


def test_static_shared_memory_counts() -> None:
    text = "__global__ void test(float *x) { __shared__ float tile[1024]; tile[threadIdx.x] = 0; *x = tile[0]; }"
    test, x = kernel(text), np.ones(1, np.float32)
    test((1,), (32,), (address(x),), shared_mem=44 << 10)
    with pytest.raises(LaunchError, match=r"shared_mem: expected 0..45056 bytes, got 45060"):
        test((1,), (32,), (address(x),), shared_mem=(44 << 10) + 4)


_PAIR = np.dtype([("u", np.float32, (256,)), ("v", np.float32, (256,))])
_STRUCTURE = """
struct Pair { float u[256], v[256]; };
__global__ void test(float *to, Pair pair, float factor, unsigned char count) {
    if (threadIdx.x < count) to[threadIdx.x] = (pair.u[threadIdx.x] - pair.v[255 - threadIdx.x]) * factor;
}
"""


def test_structures_travel_by_value() -> None:
    pair = np.zeros(1, _PAIR)
    pair["u"][0], pair["v"][0] = np.arange(256), np.arange(256) ** 2
    out = np.full(256, -1, np.float32)
    kernel(_STRUCTURE)((1,), (256,), (address(out), pair, np.float32(2), np.uint8(200)))
    np.testing.assert_array_equal(out[:200], 2 * (np.arange(200) - (255 - np.arange(200)) ** 2))
    assert (out[200:] == -1).all()


@pytest.mark.parametrize(
    ("index", "argument", "message"),
    [
        (0, np.uint32(1), r"args\[0\]: expected a pointer as int or np.uint64 of 8 bytes, got .*4 bytes"),
        (0, np.zeros(3, np.float32), r"args\[0\]: expected a pointer"),
        (1, np.zeros(1, [("u", np.float32, (256,))]), r"args\[1\]: expected a structure of 2048 bytes, .*1024 bytes"),
        (2, np.float64(2), r"args\[2\]: expected a floating-point number of 4 bytes"),
        (2, np.int32(2), r"args\[2\]: expected a floating-point number"),
        (2, 2.0, r"args\[2\].*\(float, 0 bytes\)"),
        (3, np.int32(9), r"args\[3\]: expected an integer of 1 bytes"),
        (3, 9, r"args\[3\].*\(int, 8 bytes\)"),
    ],
)
def test_wrong_arguments_are_an_error(index: int, argument: Any, message: str) -> None:
    args = [np.uint64(64), np.zeros(1, _PAIR), np.float32(2), np.uint8(0)]
    test = kernel(_STRUCTURE)
    test((1,), (1,), tuple(args))
    args[index] = argument
    with pytest.raises(LaunchError, match=message):
        test((1,), (1,), tuple(args))
    with pytest.raises(LaunchError, match="args: expected 4, got 3"):
        test((1,), (1,), tuple(args[:3]))


def test_wide_accesses_must_be_aligned() -> None:
    text = """__global__ void test(const unsigned char *from, unsigned char *to) {
        __stcs(reinterpret_cast<uint4 *>(to), __ldcs(reinterpret_cast<const uint4 *>(from)));
    }"""
    buffer = np.arange(64, dtype=np.uint8)
    aligned = buffer[-buffer.ctypes.data % 16 :]
    out = np.zeros(64, np.uint8)[:48]
    out = out[-out.ctypes.data % 16 :]
    run(text, aligned, out, block=1)
    np.testing.assert_array_equal(out[:16], aligned[:16])
    for arrays in ((aligned[4:], out), (aligned, out[8:])):
        with pytest.raises(LaunchError, match=r"of 16 bytes at .*, which is no multiple"):
            run(text, *arrays, block=1)


# --- compiling --------------------------------------------------------------------------------------------------------


def test_a_compile_error_names_the_line() -> None:
    with pytest.raises(build.CompileError, match=r"kernel.cu:2:\d+: error: .*missing"):
        run("__global__ void test(float *x) {\n    x[0] = missing;\n}", np.zeros(1, np.float32))
    with pytest.raises(build.CompileError, match="other"):
        kernel(_NOTHING, "other")
    with pytest.raises(LaunchError, match="expected one of the name expressions"):
        HostModule(code=_NOTHING, name_expressions=("test",)).get_function("other")


def test_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "_cache", lambda: tmp_path)
    text = 'extern "C" int answer() { return 42; }'
    library = build.build(text)
    stamp = library.stat().st_mtime_ns
    assert build.build(text) == library
    assert library.stat().st_mtime_ns == stamp
    assert build.build(text, ("-DOTHER",)) != library
    with pytest.raises(build.CompileError):
        build.build("nonsense")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".so", ".so"]


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "COMPILER", "no-such-compiler")
    build.compiler_version.cache_clear()
    with pytest.raises(build.CompileError, match=r"no-such-compiler: not found; install g\+\+"):
        build.build(_NOTHING)


def test_tests_that_require_tools_fail_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "available", lambda: False)
    monkeypatch.delenv("FASTCOLOR_REQUIRE_TOOLS", raising=False)
    backend.register()
    monkeypatch.setenv("FASTCOLOR_REQUIRE_TOOLS", "1")
    with pytest.raises(build.CompileError, match=r"FASTCOLOR_REQUIRE_TOOLS=1, but g\+\+ is not installed"):
        backend.register()


def test_the_constants_are_the_references() -> None:
    slopes = (yuv_to_rgb([[0.5, 0.1, 0.0], [0.5, 0.0, 0.1]]) - 0.5) / 0.1 * 255  # of R, G, B, where nothing is clipped
    floats = {
        "LOG2E": np.log2(np.e),
        "G_U": slopes[0, 1],
        "B_U": slopes[0, 2],
        "R_V": slopes[1, 0],
        "G_V": slopes[1, 1],
    }
    # XYZ over the white of each primary, and linear R, G, B of each unit of them.
    xyz = np.array(reference_constants.SRGB_TO_XYZ) / np.array(reference_constants.XYZ_WHITE)[:, None]
    light = np.linalg.solve(xyz, np.eye(3))
    lab = {name: getattr(reference_constants, f"LAB_{name}") for name in ("SLOPE", "OFFSET", "THRESHOLD")}
    floats |= {f"{to}_OF_{of}": light[k, j] for k, to in enumerate("RGB") for j, of in enumerate("XYZ")}
    floats |= {"LAB_SLOPE": lab["SLOPE"], "LAB_OFFSET": lab["OFFSET"], "LAB_EDGE": np.cbrt(lab["THRESHOLD"])}
    doubles = {f"{to}_{of}": xyz[k, j] for k, to in enumerate("XYZ") for j, of in enumerate("RGB")}
    doubles |= {f"EXACT_{name}": value for name, value in lab.items()}
    doubles |= {name: getattr(reference_constants, name) for name in ("AB_MAX", "U_MAX", "V_MAX")}
    integers = {name: getattr(reference_constants, name) for name in ("U_NUMERATOR_MAX", "V_NUMERATOR_MAX", "MAX_BINS")}
    integers["FEW_BINS"] = 255
    for axis in "UV":
        of_each = chroma_numerators(np.eye(3, dtype=np.uint8))[..., "UV".index(axis)]
        integers |= {f"{axis}_OF_{channel}": int(value) for channel, value in zip("RGB", of_each, strict=True)}
    known = {*floats, *doubles, *integers}
    assert set(re.findall(r"constexpr \w+ (\w+) =", constants())) == known, "each is compared below"

    got, double, exact = (np.zeros(len(of), to) for of, to in ((floats, "f4"), (doubles, "f8"), (integers, "i4")))
    lines = [f"x[{k}] = fc::{name};" for k, name in enumerate(floats)]
    lines += [f"d[{k}] = fc::{name};" for k, name in enumerate(doubles)]
    lines += [f"i[{k}] = fc::{name};" for k, name in enumerate(integers)]
    text = f"__global__ void test(float *x, double *d, int *i) {{ {' '.join(lines)} }}"
    run(constants() + text, got, double, exact, block=1)
    # The nearest float32 is 2^-24 of the value away at most; the slopes above are themselves rounded, by far less.
    np.testing.assert_allclose(got, list(floats.values()), rtol=2.0**-24 + 1e-12, atol=0)
    assert double.tolist() == list(doubles.values())
    assert exact.tolist() == list(integers.values())


def test_the_light_of_levels_is_the_references() -> None:
    """XYZ over the white of a gray is its light, nearly, and Y exactly: L says what it is."""
    exact, rounded = np.zeros(256), np.zeros(256, np.float32)
    lines = "x[threadIdx.x] = fc::EXACT_LIGHT[threadIdx.x]; y[threadIdx.x] = fc::LIGHT[threadIdx.x];"
    run(f"{linear_light()} __global__ void test(double *x, float *y) {{ {lines} }}", exact, rounded, block=256)
    gray = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    y = (rgb_to_lab(gray)[:, 0] + 16) / 116
    straight = (y - reference_constants.LAB_OFFSET) / reference_constants.LAB_SLOPE
    light = np.where(straight <= reference_constants.LAB_THRESHOLD, straight, y**3)
    np.testing.assert_allclose(exact, light, rtol=0, atol=1e-14)
    assert (rounded == exact.astype(np.float32)).all()
