"""The Numba CUDA kernels without a GPU: in Numba's simulator, and as PTX. On a GPU they are a backend as any other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import strategies as make
import torch
from fastcolor.kernels.numba_cuda import device as numba_cuda_device
from paths import HELPERS, TESTS

SUITES = [*(f"kernels/test_{name}.py" for name in ("agreement", "laws", "probabilities")), "helpers/numba_planted.py"]
TOO_LARGE = "large or as_measured or survives"


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(HELPERS), "FASTCOLOR_TEST_REPORT": "", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_the_kernels_agree_with_the_reference_in_the_simulator() -> None:
    """The suites of the public operations, any dtype and layout, on small images; then planted faults."""
    options = ["-q", "-p", "numba_simulator", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"]
    printed = run(
        *("-m", "pytest", *options, *SUITES, "-k", f"not ({TOO_LARGE})"),
        NUMBA_ENABLE_CUDASIM="1",
        FASTCOLOR_HYPOTHESIS_PROFILE="simulator",
        FASTCOLOR_TEST_BACKENDS="numba-cuda-simulator",
    )
    summary = printed.splitlines()[-1]
    print(summary)
    assert int(re.findall(r"(\d+) passed", summary)[0]) >= 85
    assert "skipped" not in summary


# --- compiled for a GPU that is not there -----------------------------------------------------------------------------


@cache
def ptx() -> dict[str, dict[str, int]]:
    """How often each instruction stands in each kernel."""
    found = json.loads(run("helpers/numba_ptx.py"))
    if "missing" in found:
        reason = f"Numba finds no libNVVM; pip install 'fastcolor[kernel-check]' (Linux): {found['missing']}"
        if os.environ.get("FASTCOLOR_REQUIRE_TOOLS") == "1":
            pytest.fail(f"FASTCOLOR_REQUIRE_TOOLS=1, but {reason}")
        pytest.skip(reason)
    return found


def kernels(*names: str) -> dict[str, dict[str, int]]:
    """Those of :func:`ptx` with one of these names, by the dtype of their first array."""
    found = {name: counted for name, counted in ptx().items() if name.split()[0] in names}
    assert found
    return found


def test_no_kernel_computes_in_float64_by_accident() -> None:
    wide = {name.split()[0] for name, counted in ptx().items() if any(".f64" in i for i in counted)}
    assert wide == {"encode_double", "spoiled"}


def test_every_kernel_stays_in_registers() -> None:
    for name, counted in ptx().items():
        assert not counted["local memory"], name
        assert not [instruction for instruction in counted if instruction.startswith("call")], name


def test_logits_are_loaded_in_their_own_width_four_at_a_time() -> None:
    """Loops over the bins are unrolled by four, so that loads are in flight together."""
    loads = {"float32": "ld.global.f32", "float16": "ld.global.u16", "uint16": "ld.global.u16"}
    found = kernels("mean", "join")
    assert {name.split()[1] for name in found} == set(loads)
    for name, counted in found.items():
        assert counted[loads[name.split()[1]]] >= 2 * 4, name


def test_exponentials_are_hardware_instructions() -> None:
    for name, counted in kernels("mean", "join").items():
        assert counted["ex2.approx.ftz.f32"] > 0, name


# --- the host side, with Numba's functions replaced -------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Numba and torch without a GPU: what they are asked for comes back as it is; the current stream is `stream`."""
    numba = SimpleNamespace(
        gpus={0: nullcontext()},
        external_stream=lambda handle: handle,
        from_cuda_array_interface=lambda interface, owner, sync: (interface, owner, sync),
        stream=7,
    )
    monkeypatch.setattr(numba_cuda_device, "cuda", numba)
    monkeypatch.setattr(numba_cuda_device, "_stream", cache(numba_cuda_device._stream.__wrapped__))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=numba.stream))
    return numba


class Kernel:
    """Remembers its launches."""

    def __init__(self) -> None:
        self.launches: list[Any] = []

    def __getitem__(self, configuration: Any) -> Any:
        return lambda *arguments: self.launches.append((configuration, arguments))


def test_the_stream_is_read_at_every_launch(fake: Any) -> None:
    kernel, x = Kernel(), torch.zeros(300)
    for fake.stream in (0, 7, 9):
        with numba_cuda_device.on_device(x) as stream:
            numba_cuda_device.launch(kernel, stream, 300, np.float32(1), 5)
    assert [configuration for configuration, _ in kernel.launches] == [(128, 256, stream) for stream in (0, 7, 9)]
    assert kernel.launches[0][1] == (300, np.float32(1), 5)


def test_a_stream_has_one_object_by_which_numba_keeps_a_configuration(fake: Any) -> None:
    fake.external_stream = lambda handle: SimpleNamespace(handle=handle)
    streams = []
    for fake.stream in (7, 9, 7):
        with numba_cuda_device.on_device(torch.zeros(1)) as stream:
            streams.append(stream)
    assert [stream.handle for stream in streams] == [7, 9, 7]
    assert streams[0] is streams[2]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("dtype", "code"),
    [("float32", "<f4"), ("float16", "<f2"), ("bfloat16", "<u2"), ("uint8", "|u1"), ("int64", "<i8")],
)
def test_arrays_go_in_as_raw_pointers(dtype: str, code: str) -> None:
    x = make.as_kind(np.zeros((3, 5)), "torch", dtype)[1:]
    interface, owner, sync = numba_cuda_device.flat(x)
    assert interface["data"] == (x.data_ptr(), False)
    assert (interface["shape"], interface["typestr"]) == ((10,), code)
    assert owner is x
    assert sync is False


class Driver(dict[int, Any]):
    """``cuda.gpus`` where the driver cannot be loaded, or sees no GPU."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __len__(self) -> int:
        if self.message:
            raise ImportError(self.message)
        return 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [("Error at driver init:\n\nNo libcuda here.\nTry this.", "no CUDA driver: No libcuda here$"), ("", "sees no GPU")],
)
def test_the_probe_says_what_is_missing(fake: Any, message: str, reason: str) -> None:
    fake.gpus = Driver(message)
    with pytest.raises(RuntimeError, match=reason):
        numba_cuda_device.probe()


def test_importing_the_backend_touches_no_driver() -> None:
    run(
        "-c",
        "from numba.cuda.cudadrv import driver\n"
        "def refuse(self):\n"
        "    raise SystemExit('the driver was initialised')\n"
        "driver.Driver.ensure_initialized = refuse\n"
        "import fastcolor.kernels.numba_cuda.ops\n",
    )
