"""From CUDA text to a shared library that holds its kernels, and the library that runs their threads."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .build import HERE, SANITIZERS, build

ANCHOR = "fc_host_anchor"  # a variable from which others are counted

# C++ has no array of unknown size that lies where the launch says.
_DYNAMIC_SHARED = re.compile(r"extern\s+__shared__\s+([\w:]+)\s+(\w+)\s*\[\s*\]\s*;")
_HOST_SHARED = r"\1 *const \2 = static_cast<\1 *>(fc_host::dynamic_shared());"


def sanitizer(wanted: str | None) -> str:
    """The one asked for, or that of the environment."""
    return os.environ.get("FASTCOLOR_HOST_SANITIZE", "") if wanted is None else wanted


def compiled(
    code: str,
    options: Sequence[str] = (),
    name_expressions: Sequence[str] = (),
    *,
    threads: bool = False,
    sanitize: str | None = None,
    trace: bool = False,
) -> tuple[Path, Path]:
    """The library of the kernels and the one that runs them; settings as those of HostModule."""
    sanitize = sanitizer(sanitize)
    threads = threads or sanitize == "thread"
    defines = [*(["-DFC_HOST_THREADS", "-pthread"] if threads else []), *(["-DFC_HOST_TRACE"] if trace else [])]
    flags = (*SANITIZERS[sanitize], *defines)
    runtime = build((HERE / "runtime.cpp").read_text(), ("-std=c++20", *flags))
    kept = tuple(option for option in options if option.startswith(("-std=", "--std=", "-D")))
    # The hooks that -fsanitize=thread calls are in trace.h, so that its own library must stay out.
    hooks = ("-O2", "-fsanitize=thread", "-nodefaultlibs") if trace else ()
    libraries = (str(runtime), *(["-lstdc++", "-lm", "-lgcc_s", "-lc"] if trace else []))
    return build(_host_text(code, name_expressions), (*kept, *flags, *hooks), libraries), runtime


def _host_text(code: str, name_expressions: Sequence[str]) -> str:
    lines = [
        '#include "shim.h"',
        "namespace {",  # nothing is shared between libraries, and AddressSanitizer guards shared memory
        '#line 1 "kernel.cu"',
        _DYNAMIC_SHARED.sub(_HOST_SHARED, code),
        "}",
        f'extern "C" {{ char {ANCHOR}; }}',
        *(f"FC_HOST_EXPORT({number}, {name})" for number, name in enumerate(name_expressions)),
        "",
    ]
    return "\n".join(lines)
