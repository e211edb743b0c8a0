"""CUDA kernels compiled by NVRTC and taken apart by NVIDIA's disassemblers: neither a driver nor a GPU is needed."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

from fastcolor.kernels.cupy_cuda.source import OPTIONS

EXTRA = "pip install 'fastcolor[kernel-check]' (Linux)"
WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm", "nvidia-cuda-cuobjdump")
# What CuPy adds to the options of a RawModule.
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")
# Constants that one source does not use.
_QUIET = "-diag-suppress=177"
_FUNCTION = re.compile(r"^\.text\.(\w+):$", re.MULTILINE)
_RESOURCES = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_SPILLS = re.compile(r"Function properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads")


class ToolsMissing(RuntimeError):
    """A wheel of the extra `kernel-check` is not installed."""


class CompileError(RuntimeError):
    """NVRTC refused the source; the message is its log."""


class Compiled(NamedTuple):
    """One kernel: machine code as text, registers a thread; stack, static shared memory and spills in bytes."""

    sass: str
    registers: int
    stack: int
    shared: int
    spills: int


def missing() -> list[str]:
    """The wheels that are not here; nothing can be compiled unless this is empty."""
    wheels = [] if util.find_spec("cuda") and util.find_spec("cuda.bindings") else ["cuda-bindings"]
    return wheels + [name for name in WHEELS if not any(metadata.distributions(name=name))]


def versions() -> str:
    """NVRTC's version, which the register counts depend on."""
    require()
    return "NVRTC " + metadata.version("nvidia-cuda-nvrtc")


def build(code: str, expressions: Sequence[str], arch: str, options: Sequence[str] = ()) -> dict[str, Compiled]:
    """Compile all name expressions of one source for `arch`, such as "sm_90", as CuPy would, and disassemble them."""
    require()
    cubin, symbols, log = _compile(code, expressions, (*OPTIONS, *CUPY_OPTIONS, _QUIET, *options, f"-arch={arch}"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.cubin"
        path.write_bytes(cubin)
        parts = _FUNCTION.split(_run("nvdisasm", "-c", str(path)))
        resources = _run("cuobjdump", "--dump-resource-usage", str(path))
    code_of = dict(zip(parts[1::2], parts[2::2], strict=True))
    taken = {match[1]: [int(value) for value in match.groups()[1:]] for match in _RESOURCES.finditer(resources)}
    spills = {match[1]: int(match[2]) + int(match[3]) for match in _SPILLS.finditer(log)}
    built = {}
    for expression, symbol in symbols.items():
        registers, stack, shared, _ = taken[symbol]
        built[expression] = Compiled(code_of[symbol], registers, stack, shared, spills[symbol])
    return built


def require() -> None:
    """Raise ToolsMissing, with the names of the missing wheels and the extra that brings them."""
    if wheels := missing():
        raise ToolsMissing(f"kernels cannot be compiled here: {', '.join(wheels)} missing; {EXTRA}")


def _compile(code: str, expressions: Sequence[str], options: Sequence[str]) -> tuple[bytes, dict[str, str], str]:
    """Cubin, mangled name of each expression, log of compiler and assembler."""
    from cuda.bindings import nvrtc

    program = _checked(nvrtc.nvrtcCreateProgram(code.encode(), b"kernels.cu", 0, [], []))
    try:
        for expression in expressions:
            _checked(nvrtc.nvrtcAddNameExpression(program, expression.encode()))
        flags = [option.encode() for option in (*options, "--ptxas-options=-v")]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
        log = b" " * _checked(nvrtc.nvrtcGetProgramLogSize(program))
        _checked(nvrtc.nvrtcGetProgramLog(program, log))
        text = log.decode(errors="replace").rstrip("\0 \n")
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise CompileError(text)
        cubin = b" " * _checked(nvrtc.nvrtcGetCUBINSize(program))
        _checked(nvrtc.nvrtcGetCUBIN(program, cubin))
        names = {e: _checked(nvrtc.nvrtcGetLoweredName(program, e.encode())).decode() for e in expressions}
        return cubin, names, text
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _checked(result: tuple[Any, ...]) -> Any:
    """The value of an NVRTC call, which comes after its status."""
    if int(result[0]):
        raise CompileError(f"NVRTC: {result[0]}")
    return result[1] if len(result) > 1 else None


@cache
def _tool(name: str) -> str:
    for file in metadata.files(f"nvidia-cuda-{name}") or ():
        if file.name == name:
            return str(file.locate())
    raise ToolsMissing(f"nvidia-cuda-{name} has no program {name}; {EXTRA}")


def _run(tool: str, *arguments: str) -> str:
    done = subprocess.run([_tool(tool), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"{tool} failed with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
