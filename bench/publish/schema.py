"""The JSON file: ``{"metadata": ..., "results": [...]}``, checked when written and when read, written whole or not."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

VERSION = 1
STATUSES = ("ok", "inexact", "wrong", "skipped", "error")

METADATA: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "date": str,
    "command": str,
    "commit": str,
    "dirty": bool,
    "device": str,
    "quick": bool,
    "machine": dict,
    "versions": dict,
    "environment": dict,
    "input": str,
    "seconds": (int, float),
}
GPU: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "compute_capability": str,
    "memory_gb": (int, float),
    "cuda_runtime": str,
    "nvrtc": str,
}
_NUMBER = (int, float, type(None))
RESULT: dict[str, type | tuple[type, ...]] = {
    "suite": str,
    "case": str,
    "main": bool,
    "candidate": str,
    "ours": bool,
    "status": str,
    "note": str,
    "threads": int,
    "malloc": str,
    "shape": str,
    "dtype": str,
    "layout": str,
    "pixels": int,
    "share": (int, float),
    "read_bytes": int,
    "write_bytes": int,
    "check": (dict, type(None)),
    "first_call_s": _NUMBER,
}
TIMED: dict[str, type | tuple[type, ...]] = {
    "median_s": (int, float),
    "p20_s": (int, float),
    "p80_s": (int, float),
    "runs": int,
    "mp_per_s": _NUMBER,
    "read_floor_share": _NUMBER,
    "copy_floor_share": _NUMBER,
}


def validate(document: Any) -> None:
    """Raise ValueError, naming the first field that is missing or of the wrong type."""
    if not isinstance(document, dict) or set(document) != {"metadata", "results"}:
        raise ValueError("document: expected an object with metadata and results; `python -m bench` writes one")
    _fields("metadata", document["metadata"], METADATA)
    if document["metadata"]["schema"] != VERSION:
        raise ValueError(f"metadata.schema: expected {VERSION}, got {document['metadata']['schema']}")
    if document["metadata"]["device"] != "cpu":
        _fields("metadata.gpu", document["metadata"].get("gpu"), GPU)
    for index, result in enumerate(document["results"]):
        where = f"results[{index}]"
        _fields(where, result, RESULT)
        if result["status"] not in STATUSES:
            raise ValueError(f"{where}.status: expected one of {STATUSES}, got {result['status']!r}")
        if result["status"] in ("ok", "inexact"):
            _fields(where, result, TIMED)
        elif "median_s" in result:
            raise ValueError(f"{where}.median_s: a result that is {result['status']} has no time")


def _fields(where: str, given: Any, wanted: dict[str, type | tuple[type, ...]]) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: expected an object, got {type(given).__name__}")
    for name, kind in wanted.items():
        if name not in given:
            raise ValueError(f"{where}.{name}: missing")
        if not isinstance(given[name], kind):
            raise ValueError(f"{where}.{name}: expected {kind}, got {given[name]!r}")


def write_text(path: str | Path, text: str) -> None:
    """Write a file whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write(path: str | Path, document: dict[str, Any]) -> None:
    """Validate and write a document."""
    validate(document)
    write_text(path, json.dumps(_rounded(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: str | Path) -> dict[str, Any]:
    """Read and validate a document."""
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        validate(document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return document


def _rounded(value: Any) -> Any:
    """Six significant digits are more than a timing holds; infinities become text, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) != float("inf") and value == value else str(value)
    return value
