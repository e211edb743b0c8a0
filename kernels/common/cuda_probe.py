"""Whether CuPy can run a kernel here and, if not, the first thing that is in the way, with its fix."""

from __future__ import annotations

import sys
from typing import Any

_CODE = 'extern "C" __global__ void probe(int *x) { *x = 42; }'


def probe_cupy() -> None:
    """Compile a kernel of one line and run it.

    Raises
    ------
    ImportError
        CuPy is not installed, or cannot be imported.
    RuntimeError
        CuPy or the driver is too old, there is no driver, no GPU, no compiler (NVRTC), or a kernel does not run.
    """
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise
        raise ImportError(f"CuPy is not installed; pip install 'fastcolor[cuda{torch_major() or 13}]'") from error
    if not hasattr(cupy.cuda.Stream, "from_external"):  # how torch's streams are taken
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        raise RuntimeError(f"CuPy {cupy.__version__} is older than 14; pip install 'fastcolor[cuda{major}]'")
    check_driver(cupy.cuda.runtime)
    compiler = _compiler_major(cupy)
    try:
        answer = _run(cupy)
    except Exception as error:
        raise RuntimeError(f"a kernel does not run ({type(error).__name__}: {error}){_mix(cupy, compiler)}") from error
    if answer != 42:
        raise RuntimeError(f"a kernel that writes 42 wrote {answer}{_mix(cupy, compiler)}")


def check_no_capture(name: str) -> None:
    """Raise if torch or CuPy records a CUDA graph now: a first kernel, with its allocations, would spoil it."""
    if _torch_captures() or _cupy_captures():
        raise RuntimeError(
            f"backend: expected {name!r} to be used before a CUDA graph is captured, got its first use within a "
            "capture; call the operation once before"
        )


def _torch_captures() -> bool:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda is not None and cuda.is_initialized() and bool(cuda.is_current_stream_capturing())


def _cupy_captures() -> bool:
    cuda = getattr(sys.modules.get("cupy"), "cuda", None)
    try:
        return cuda is not None and bool(cuda.get_current_stream().is_capturing())
    except Exception:  # no driver, or no GPU: the probe finds out which
        return False


def check_driver(runtime: Any) -> None:
    """Raise unless there is a driver, new enough for this build of CuPy, and a GPU."""
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if not driver:
        raise RuntimeError("there is no NVIDIA driver; install one, and in a container start it with --gpus all")
    if driver // 1000 < needed // 1000:
        raise RuntimeError(
            f"the NVIDIA driver is for CUDA {driver // 1000}.{driver % 1000 // 10} and this CuPy for CUDA "
            f"{needed // 1000}; update the driver, or pip install cupy-cuda{driver // 1000}x in its place"
        )
    try:
        devices = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise RuntimeError(f"the NVIDIA driver sees no GPU ({error}); is CUDA_VISIBLE_DEVICES right?") from error
    if not devices:
        raise RuntimeError("the NVIDIA driver sees no GPU; is CUDA_VISIBLE_DEVICES right?")


def compiler_mix(cupy: int, compiler: int) -> str:
    """What is wrong with an NVRTC of another CUDA than CuPy was built for; empty if it is of the same.

    Examples
    --------
    >>> compiler_mix(13, 13)
    ''
    """
    if compiler == cupy:
        return ""
    return (
        f"CuPy for CUDA {cupy} has loaded NVRTC of CUDA {compiler}, which another package brought; "
        f"pip uninstall cupy-cuda{cupy}x, then pip install cupy-cuda{compiler}x"
    )


def torch_major() -> int | None:
    """The CUDA that torch was built for, if somebody has imported torch: 12, 13, or None."""
    version = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None)
    return int(version.partition(".")[0]) if version else None


def _compiler_major(cupy: Any) -> int:
    """The CUDA of the NVRTC that CuPy has found."""
    try:
        return int(cupy.cuda.nvrtc.getVersion()[0])
    except Exception as error:
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        raise RuntimeError(f"CuPy finds no NVRTC, the compiler; pip install 'fastcolor[cuda{major}]'") from error


def _run(cupy: Any) -> int:
    module = cupy.RawModule(code=_CODE, backend="nvrtc")
    x = cupy.zeros(1, dtype="int32")
    module.get_function("probe")((1,), (1,), (x,))
    return int(x.get()[0])


def _mix(cupy: Any, compiler: int) -> str:
    """The versions that do not go together, if any; they may be the cause of an error."""
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    if mix := compiler_mix(major, compiler):
        return f"; {mix}"
    torch = torch_major()
    if torch not in (None, major):
        return (
            f"; CuPy for CUDA {major} beside torch for CUDA {torch}: "
            f"pip uninstall cupy-cuda{major}x, then pip install cupy-cuda{torch}x"
        )
    return "; `fastcolor doctor` lists versions"
