"""The report of :func:`fastcolor.evaluation.photos.evaluate` as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..photo.decoding import Decoding
from ..plural import counted

WORSE = "worse than gray"

_WIDTH = 30  # of the first column


def table(report: dict[str, Any]) -> str:
    """The results: differences to gray, colorfulness relative to the truth's, classes of content, calibration."""
    return "\n\n".join("\n".join(_of_set(entry, report)) for entry in report["sets"])


def decibels(row: dict[str, Any]) -> float:
    """PSNR; NaN if no photograph has one that is finite."""
    return float("nan") if row["psnr"] is None else float(row["psnr"])


def change(row: dict[str, Any], gray: dict[str, Any]) -> float:
    """How much larger CIEDE2000 is than that of the gray image, relative to it."""
    return float(row["ciede2000"] / gray["ciede2000"] - 1) if gray["ciede2000"] else float("nan")


def vividness(row: dict[str, Any], truth: dict[str, Any]) -> float:
    """Colorfulness relative to the truth's, less 1."""
    return float(row["colorfulness"] / truth["colorfulness"] - 1) if truth["colorfulness"] else float("nan")


def _of_set(entry: dict[str, Any], report: dict[str, Any]) -> Iterator[str]:
    twice = ", seen in a mirror, too" * report["mirror"]
    yield (
        f"{entry['name']}: {counted(entry['images'], 'photograph')} at size {report['size']}{twice}: top-1 "
        f"{100 * entry['top1']:.1f} %, weighted cross entropy {entry['weighted_cross_entropy']:.4f} "
        f"(lambda {report['lam']:g})"
    )
    gray, truth, *rows = entry["results"]
    yield f"{'':{_WIDTH}}{'PSNR dB':>18}{'CIEDE2000':>20}{'colorfulness':>20}"
    yield f"{'gray':{_WIDTH}}{decibels(gray):>9.2f}{'':9}{gray['ciede2000']:>11.2f}{'':9}{gray['colorfulness']:>11.1f}"
    for row in rows:
        yield f"{_named(row):{_WIDTH}}{_against(row, gray, truth)}"
    yield f"{'truth':{_WIDTH}}{'':9}{'':9}{'':11}{'':9}{truth['colorfulness']:>11.1f}"
    if entry.get("content"):
        yield f"by content, {_named(rows[0])}:"
        for kind in entry["content"]:
            gray, truth, row = kind["results"][:3]
            mark = f"  {WORSE}" if row["ciede2000"] > gray["ciede2000"] else ""
            yield f"{kind['name'] + ', ' + str(kind['images']):{_WIDTH}}{_against(row, gray, truth)}{mark}"
    yield from _calibration(entry["calibration"])


def _named(row: dict[str, Any]) -> str:
    return str(Decoding(row["temperature"], row["doubt"], row["gain"]))


def _against(row: dict[str, Any], gray: dict[str, Any], truth: dict[str, Any]) -> str:
    return (
        f"{decibels(row):>9.2f} ({decibels(row) - decibels(gray):+5.2f})"
        f"{row['ciede2000']:>12.2f} ({100 * change(row, gray):+5.1f}%)"
        f"{row['colorfulness']:>11.1f} ({100 * vividness(row, truth):+5.1f}%)"
    )


def _calibration(found: dict[str, Any]) -> Iterator[str]:
    yield f"top bin by tenths of confidence, expected calibration error {100 * found['expected_error']:.1f} %:"
    for name in ("confidence", "accuracy"):
        yield f"  {name:12}" + "".join(f"{100 * row[name]:7.1f}" for row in found["groups"]) + " %"
