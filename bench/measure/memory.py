"""Peak memory of one call: the high-water mark of the process, reset just before (Linux; None elsewhere)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def peak_of(run: Callable[[], Any]) -> int | None:
    """Bytes by which the resident memory rose at most during ``run()``, its result included."""
    try:
        _RESET.write_text("5")  # Linux: reset VmHWM to the present resident size
        before = _read("VmRSS")
        result = run()
        peak = _read("VmHWM") - before
        del result
    except OSError:
        return None
    return max(peak, 0)


def _read(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS}: no line {key}")
