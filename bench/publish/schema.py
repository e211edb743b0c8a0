"""The JSON file: ``{"metadata": ..., "results": [...]}``, checked when written and when read, written whole or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..measure.machine import write_text

VERSION = 1
STATUSES = ("ok", "inexact", "wrong", "skipped", "error")

_TEXT, _NUMBER, _FIGURE = str, (int, float), (int, float, type(None))
Fields = dict[str, Any]

# Optional besides: "left_out", what the run was asked for and the file lacks, by suite and setting; {} in a whole one.
METADATA: Fields = {
    **dict.fromkeys(("date", "command", "commit", "device", "input"), _TEXT),
    **dict.fromkeys(("dirty", "quick"), bool),
    **dict.fromkeys(("machine", "versions", "environment"), dict),
    "schema": int,
    "seconds": _NUMBER,
}
GPU: Fields = {**dict.fromkeys(("name", "compute_capability", "cuda_runtime", "nvrtc"), _TEXT), "memory_gb": _NUMBER}
RESULT: Fields = {
    **dict.fromkeys(("suite", "case", "candidate", "status", "note", "malloc", "shape", "dtype", "layout"), _TEXT),
    **dict.fromkeys(("main", "ours"), bool),
    **dict.fromkeys(("threads", "pixels", "read_bytes", "write_bytes"), int),
    "share": _NUMBER,
    "check": (dict, type(None)),
    "first_call_s": _FIGURE,
}
TIMED: Fields = {
    **dict.fromkeys(("median_s", "p20_s", "p80_s"), _NUMBER),
    "runs": int,
    **dict.fromkeys(("mp_per_s", "read_floor_share", "copy_floor_share"), _FIGURE),
}


def validate(document: Any) -> None:
    """Raise ValueError, naming the first field that is missing or of the wrong type."""
    if not isinstance(document, dict) or set(document) != {"metadata", "results"}:
        raise ValueError("document: expected an object with metadata and results; `python -m bench` writes one")
    _fields("metadata", document["metadata"], METADATA)
    _fields("metadata", {"left_out": {}, **document["metadata"]}, {"left_out": dict})
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


def _fields(where: str, given: Any, wanted: Fields) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: expected an object, got {type(given).__name__}")
    for name, kind in wanted.items():
        if name not in given:
            raise ValueError(f"{where}.{name}: missing")
        if not isinstance(given[name], kind):
            raise ValueError(f"{where}.{name}: expected {kind}, got {given[name]!r}")


def part(path: Path) -> Path:
    """Where the results of a run that is not over lie."""
    return path.with_suffix(f".part{path.suffix}")


def write(path: str | Path, document: dict[str, Any]) -> None:
    validate(document)
    write_text(path, json.dumps(_rounded(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: str | Path) -> dict[str, Any]:
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
