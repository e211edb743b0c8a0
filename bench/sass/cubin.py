"""CUDA kernels compiled by NVRTC and taken apart by NVIDIA's disassemblers: neither a driver nor a GPU is needed.

What was counted is kept in the user's cache, by the hash of all that it depends on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from fastcolor.kernels.cupy_cuda.source import OPTIONS

from ..measure.machine import kept, write_text
from .listing import Figures, figures

KEPT = kept("sass")
EXTRA = "pip install 'fastcolor[kernel-check]' (Linux)"
WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm", "nvidia-cuda-cuobjdump")
# What CuPy adds to the options of a RawModule.
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")
# Constants that one source does not use.
_QUIET = "-diag-suppress=177"
_FUNCTION = re.compile(r"^\.text\.(\w+):$", re.MULTILINE)
_RESOURCES = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)")
_SPILLS = re.compile(r"Function properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads")


class ToolsMissing(RuntimeError):
    """A wheel of the extra `kernel-check` is not installed."""


class CompileError(RuntimeError):
    """NVRTC refused the source; the message is its log."""


def missing() -> list[str]:
    """The wheels that are not here; nothing can be compiled unless this is empty."""
    wheels = [] if util.find_spec("cuda") and util.find_spec("cuda.bindings") else ["cuda-bindings"]
    return wheels + [name for name in WHEELS if not any(metadata.distributions(name=name))]


def versions() -> str:
    """NVRTC's version, which the register counts depend on."""
    require()
    return "NVRTC " + metadata.version("nvidia-cuda-nvrtc")


def figures_of(code: str, expressions: Sequence[str], arch: str) -> dict[str, Figures]:
    """What is counted of all name expressions of one source; as :func:`build`, but each is compiled once."""
    require()
    places = {e: KEPT / f"{_key(code, e, arch)}.json" for e in expressions}
    found = {e: known for e, place in places.items() if (known := _read(place))}
    if new := sorted(places.keys() - found):
        for expression, (_, counted) in build(code, new, arch).items():
            found[expression] = counted
            with contextlib.suppress(OSError):  # a cache that cannot be written to compiles again
                write_text(places[expression], json.dumps(counted._asdict()))
    return found


def build(code: str, expressions: Sequence[str], arch: str) -> dict[str, tuple[str, Figures]]:
    """Compile all name expressions of one source for `arch`, such as "sm_90", as CuPy would: machine code, figures."""
    require()
    cubin, symbols, log = _compile(code, expressions, (*OPTIONS, *CUPY_OPTIONS, _QUIET, f"-arch={arch}"))
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
        (registers, stack, shared), sass = taken[symbol], code_of[symbol]
        counted = figures(sass, arch, registers=registers, stack=stack, shared=shared, spills=spills[symbol])
        built[expression] = sass, counted
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


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join((_tools(), *parts)).encode()).hexdigest()[:32]


@cache
def _tools() -> str:
    """The compiler, the disassemblers, and the code that reads what they say."""
    modules = (Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8") for name in ("cubin", "listing"))
    return "\0".join([*OPTIONS, *map(metadata.version, WHEELS), *modules])


def _read(place: Path) -> Figures | None:
    try:
        fields = json.loads(place.read_text(encoding="utf-8"))
        widths = {name: {int(size): count for size, count in fields[name].items()} for name in ("loads", "stores")}
        return Figures(**{**fields, **widths})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
