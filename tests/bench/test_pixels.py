"""The table of the pixels a thread, and how a sweep fills it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastcolor.kernels.cupy_cuda import tile
from paths import ROOT

from bench.suites import pixels

STILL = ("decode", "decode_confidence", "annealed_mean", "temporal")
SWEEP = ROOT / "bench/results/gpu-day/sweep.json"


def row(count: int, us: float, kind: str = "planar", height: int = 1) -> dict[str, Any]:
    return {"what": "op", "height": height, "width": 100, "dtype": "float16", "kind": kind, "pixels": count, "us": us}


@pytest.mark.parametrize(
    ("rows", "widths"),
    [
        ([row(1, 10), row(2, 9), row(4, 8.95)], {"planar": 2}),  # a tie: the fewer
        ([row(1, 10), row(2, 9), row(4, 8.9)], {"planar": 4}),
        ([row(4, 9), row(4, 9.05, "streamed")], {"planar": 4, "streamed": 4}),
        ([row(4, 9), row(2, 9, "streamed"), row(4, 8.5, "streamed")], {"streamed": 4, "planar": 4}),
        # both sizes count, but for one where the host was timed
        ([row(1, 80, height=8), row(2, 88, height=8), row(1, 19), row(2, 10)], {"planar": 2}),
        ([row(1, 80, height=8), row(2, 88, height=8), row(1, 30), row(2, 10)], {"planar": 1}),
    ],
)
def test_the_fastest(rows: list[dict[str, Any]], widths: dict[str, int]) -> None:
    found = pixels.fastest(rows)["op"]["float16"]
    assert list(found.items()) == list(widths.items()), "in this order"


def test_the_table_is_what_the_sweep_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is what the command makes of the sweep and of itself. Loss and gradient have new kernels since."""
    place = Path(tile.__file__).with_name(tile.WIDTHS_FILE)
    text = place.read_text(encoding="utf-8")
    monkeypatch.setattr(tile, "__file__", str(tmp_path / "tile.py"))
    assert pixels.main([str(SWEEP), json.loads(text)["from"], *STILL]) == 0
    assert (tmp_path / tile.WIDTHS_FILE).read_text(encoding="utf-8") == text
