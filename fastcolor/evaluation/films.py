"""Measuring colorized films against the true colors: flicker, PSNR and CIEDE2000 of every frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import VideoError
from ..files.images import in_color
from ..files.sets import fit_within
from ..film.film import Film
from ..film.io import open_film
from ..film.video import colorize_video
from ..photo.pipeline import closing_stream
from ..plots.curves import new_figure, save_figure
from ..plural import counted
from .flicker import FlickerMeter
from .metrics import Rgb, delta_e2000, psnr, rgb_to_lab

MEASURED_SIZE = 512  # longer side that frames are reduced to before they are compared
_BOX = Image.Resampling.BOX
_NEUTRAL = 3  # levels that coding may add to a gray film: chroma is then one step from neutral
MEASURES = ("flicker", "psnr", "ciede2000")

# What is compared unless the caller says otherwise: options of colorize_video.
VARIANTS: dict[str, dict[str, Any]] = {kind: {"smooth": kind} for kind in ("none", "paper", "steady")}


def evaluate_video(
    truth: Callable[[], Iterable[Rgb]],
    films: Mapping[str, Callable[[], Iterable[Rgb]]],
    *,
    total: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """``flicker``, ``psnr`` and ``ciede2000`` of each film at each frame, beside those of the truth and of gray.

    Parameters
    ----------
    truth : callable
        Returns an iterable of the true frames, uint8 (H, W, 3).
    films : mapping of name to callable
        Each returns an iterable of as many frames of the same size.
    total : int, optional
        Number of frames, for the progress bar.
    progress : bool

    Returns
    -------
    dict
        ``frames``, ``size`` (longer side measured), ``results``: ``{name: {measure: mean}}`` for the truth (flicker
        only), gray, and each film; ``curves``: ``{name: {measure: values a frame}}``. None where flicker has no value.

    Raises
    ------
    VideoError
        The films differ in length or size, there is no frame, or the truth has no color.

    Examples
    --------
    >>> red = [np.full((32, 32, 3), [200, 40, 40], np.uint8)] * 2
    >>> report = evaluate_video(lambda: red, {"copy": lambda: red})
    >>> report["results"]["copy"]
    {'flicker': 0.0, 'psnr': inf, 'ciede2000': 0.0}
    """
    meter = FlickerMeter()
    curves: dict[str, dict[str, list[float | None]]] = {}
    size = frames = 0
    colored = False
    with ExitStack() as stack:
        streams = [stack.enter_context(closing_stream(film())) for film in (truth, *films.values())]
        for rgbs in tqdm(_in_step(streams, list(films)), total=total, unit="frame", disable=not progress):
            true, *others = (np.asarray(fit_within(Image.fromarray(rgb), MEASURED_SIZE, _BOX)) for rgb in rgbs)
            gray = in_color(np.asarray(Image.fromarray(true).convert("L")))
            colored = colored or bool(np.abs(true.astype(np.int16) - gray).max() > _NEUTRAL)
            shown = {"gray": gray, **dict(zip(films, others, strict=True))}
            size, frames = max(true.shape[:2]), frames + 1
            _append(curves, meter.step(true, {"truth": true, **shown}), true, shown)
    if not colored:
        raise VideoError("truth: expected a color film, got " + ("a gray one" if frames else "no frames"))
    results = {
        name: {measure: _mean(values) for measure, values in measures.items()} for name, measures in curves.items()
    }
    return {"frames": frames, "size": size, "results": results, "curves": curves}


def evaluate_file(
    path: str | os.PathLike[str],
    variants: Mapping[str, Mapping[str, Any]],
    results: Iterable[str | os.PathLike[str]] = (),
    *,
    progress: bool = False,
    **options: Any,
) -> tuple[dict[str, Any], list[str]]:
    """:func:`evaluate_video` of a color film: its luma colorized with the options of each variant, and other files.

    `options` go to every :func:`~fastcolor.colorize_video`. Also returned: what could not be read.

    Raises
    ------
    ValueError
        A result is given twice.
    """
    opened: list[Film] = []

    def read(source: str | os.PathLike[str]) -> Iterator[Rgb]:
        opened.append(open_film(source, color=True))
        return (frame.pixels for frame in opened[-1])

    films: dict[str, Callable[[], Iterable[Rgb]]] = {
        name: lambda variant=variant: colorize_video(read(path), **{**options, **variant})  # type: ignore[misc]
        for name, variant in variants.items()
    }
    for name, result in _named(list(results), {*variants, "truth", "gray"}).items():
        films[name] = lambda result=result: read(result)  # type: ignore[misc]
    try:
        report = evaluate_video(lambda: read(path), films, total=open_film(path).count, progress=progress)
    except VideoError as error:  # by the name of the file, not that of the argument
        raise VideoError(str(error).replace("truth:", f"{path}:", 1)) from error
    return report, sorted({problem for film in opened for problem in film.problems})


def _named(results: list[str | os.PathLike[str]], taken: set[str]) -> dict[str, str | os.PathLike[str]]:
    """Results by the names of their files, or by all of their paths where names are alike or taken."""
    names = [Path(result).name for result in results]
    named = {
        name if names.count(name) == 1 and name not in taken else str(Path(result).resolve()): result
        for name, result in zip(names, results, strict=True)
    }
    if len(named) < len(results):
        raise ValueError(f"results: expected each film once, got {', '.join(map(str, results))}")
    return named


def table(report: dict[str, Any]) -> str:
    """The means as lines of text."""
    lines = [
        f"{counted(report['frames'], 'frame')}, measured at size {report['size']}",
        f"{'':20}{'flicker':>10}{'PSNR dB':>10}{'CIEDE2000':>12}",
    ]
    for name, row in report["results"].items():
        cells = [
            "" if row.get(measure) is None else f"{row[measure]:.{digits}f}"
            for measure, digits in zip(MEASURES, (3, 2, 2), strict=True)
        ]
        lines.append(f"{name:20}{cells[0]:>10}{cells[1]:>10}{cells[2]:>12}")
    return "\n".join(lines)


def plot(report: dict[str, Any], path: str | os.PathLike[str], *, replace: bool = True) -> None:
    """Curves over time of all measures, as a picture at `path`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    figure = new_figure("plot", figsize=(9, 7), layout="constrained")
    for axes, measure in zip(np.atleast_1d(figure.subplots(len(MEASURES), sharex=True)), MEASURES, strict=True):
        for name, curve in report["curves"].items():
            if measure in curve:
                axes.plot(np.array(curve[measure], float), label=name, linewidth=1)
        axes.set_ylabel(measure)
        axes.legend(fontsize="small", loc="upper right")
    axes.set_xlabel("frame")
    save_figure(figure, path, replace=replace)


def _in_step(streams: list[Iterator[Rgb]], names: list[str]) -> Iterator[list[Rgb]]:
    """One frame of every film at a time; the first stream is the truth."""
    end: Any = object()
    for number, true in enumerate(streams[0]):
        row = [true, *(next(stream, end) for stream in streams[1:])]
        for name, rgb in zip(names, row[1:], strict=True):
            if not isinstance(rgb, np.ndarray):
                raise VideoError(f"{name}: expected as many frames as the truth has, got {number}")
            if rgb.shape != true.shape:
                raise VideoError(f"{name}: expected frames of shape {true.shape} like the truth's, got {rgb.shape}")
        yield row
    for name, stream in zip(names, streams[1:], strict=True):
        if next(stream, end) is not end:
            raise VideoError(f"{name}: expected as many frames as the truth has, got more")


def _append(
    curves: dict[str, dict[str, list[float | None]]], flicker: dict[str, float], true: Rgb, shown: Mapping[str, Rgb]
) -> None:
    lab = rgb_to_lab(true)
    for name in ("truth", *shown):
        curve = curves.setdefault(name, {})
        curve.setdefault("flicker", []).append(flicker.get(name))
        if name in shown:
            curve.setdefault("psnr", []).append(psnr(shown[name], true))
            curve.setdefault("ciede2000", []).append(float(delta_e2000(rgb_to_lab(shown[name]), lab).mean()))


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None
