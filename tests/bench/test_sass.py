"""The kernels' machine code keeps its rules: no GPU, no driver, only the wheels of the extra `kernel-check`."""

from __future__ import annotations

import os
from functools import cache

import pytest
from fastcolor.kernels.cupy_cuda.source import source

from bench.sass import calls, cubin, instances, rules

if cubin.missing() and os.environ.get("FASTCOLOR_REQUIRE_TOOLS") != "1":
    pytest.skip(f"{', '.join(cubin.missing())} missing: {cubin.EXTRA}", allow_module_level=True)

# All instances for sm_90, with 32-bit and with 64-bit indices; elsewhere those of most users.
CASES = [(arch, arch == "sm_90") for arch in rules.ARCHITECTURES]


@cache
def checked(arch: str, wide_index: bool) -> list[rules.Checked]:
    return rules.check_all(arch, wide_index)


@pytest.mark.parametrize(("arch", "wide_index"), CASES)
def test_every_instance_keeps_the_rules(arch: str, wide_index: bool) -> None:
    found = checked(arch, wide_index)
    for c in found:
        print(f"{arch}  {c.instance}: {c.figures.registers} registers, {c.warps} warps, {c.in_flight} B in flight")
    assert not [f"{arch} {c.instance}: {'; '.join(c.broken)}" for c in found if c.broken]


@pytest.mark.parametrize("arch", rules.ARCHITECTURES)
def test_every_instance_can_be_launched(arch: str) -> None:
    assert all(c.warps * 32 >= c.instance.launch.threads for c in checked(arch, arch == "sm_90"))


def test_the_unrolled_instances_have_exact_figures() -> None:
    exact = [i for i in instances.instances() if i.n == instances.FAST_BINS and i.operation in calls.OF_LOGITS]
    exact = [i for i in exact if i.launch.kernel != "loss_begin"]
    assert {i.operation for i in exact} == set(calls.OF_LOGITS)
    assert {(i.dtype, i.layout) for i in exact} == {
        (d, layout) for d in instances.LOGITS for layout in ("planar", "last")
    }
    for i in exact:
        wanted = rules.expectation(i, "sm_90")
        assert wanted.ex2
        assert sum(wanted.loads.values())
        assert wanted.in_flight


# --- the rules reject what they are for -------------------------------------------------------------------------------


def broken_by(replaced: str, by: str) -> str:
    """What the rules say of decode when its source is changed."""
    code = source("decode")
    assert replaced in code
    (found,) = rules.check(code.replace(replaced, by), [decode()], "sm_90")
    return "; ".join(found.broken)


def decode() -> instances.Instance:
    return next(i for i in instances.instances() if (i.operation, i.dtype, i.layout, i.n) == MAIN)


MAIN = ("decode, planar, 4 a thread", "float32", "planar", instances.FAST_BINS)


def test_the_unchanged_source_keeps_them() -> None:
    assert broken_by("namespace fc {", "namespace fc {") == ""


def test_a_double_literal() -> None:
    assert "float64 instructions" in broken_by("return luma * 255.0f;", "return luma * 254.9;")


def test_a_row_indexed_by_what_is_known_at_run_time() -> None:
    said = broken_by("to_float(held.plane[b].at[v])", "to_float(held.plane[(b + (int)threadIdx.x) % N].at[v])")
    assert "bytes of stack" in said
    assert "local memory" in said


def test_loads_of_four_bytes() -> None:
    said = broken_by("V * sizeof(T) < 16 ? V * sizeof(T) : 16;", "V * sizeof(T) < 4 ? V * sizeof(T) : 4;")
    assert "16-byte loads: 0, expected 33" in said


def test_stores_of_one_byte() -> None:
    said = broken_by("const int whole = ((u64)to & 15) == 0 ? valid / 16 : 0;", "const int whole = 0;")
    assert "16-byte stores: 0, expected 1" in said


def test_registers_that_do_not_suffice() -> None:
    assert "bytes spilled" in broken_by("__launch_bounds__(THREADS)", "__launch_bounds__(THREADS, 16)")


def test_a_loop_that_is_not_unrolled() -> None:
    unrolled = "#pragma unroll\n    for (int b = 0; b < N; ++b) held"
    assert "16-byte loads" in broken_by(unrolled, unrolled.replace("unroll", "unroll 1"))


def test_exponentials_computed_twice() -> None:
    assert "exponentials: 64 a pixel, expected 32" in broken_by("total += w;", "total += exp2_fast(w);")


def test_loads_that_wait_for_each_other() -> None:
    load = "held.plane[b] = load<Logit, V>(from + b * count);"
    wait = "if (to_float(held.plane[b].at[0]) == 12345.0f) from += V;"
    said = broken_by(load, f"{{ {load} {wait} }}")
    assert "loads in flight" in said


# --- the tools --------------------------------------------------------------------------------------------------------


def test_a_source_that_does_not_compile() -> None:
    with pytest.raises(cubin.CompileError, match="no_such_type"):
        cubin.build("__global__ void f(no_such_type x) {}", ["f"], "sm_90")
