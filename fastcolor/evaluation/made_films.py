"""Measuring smoothing on clips made of photographs: every kind of motion and of change apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..arrays import checks
from ..errors import ImageError
from ..files.sets import open_rgb
from ..film.video import colorize_video
from .clips import KINDS, MadeClip, make_clip
from .films import MEASURES, VARIANTS, evaluate_video

DEFAULT_CLIPS = 8  # of each kind


def evaluate_clips(
    photographs: Sequence[Path],
    kinds: Iterable[str] = tuple(KINDS),
    variants: Mapping[str, Mapping[str, Any]] = VARIANTS,
    *,
    clips: int = DEFAULT_CLIPS,
    progress: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Means of :func:`~fastcolor.evaluation.films.evaluate_video` over clips of each kind, of photographs drawn.

    Parameters
    ----------
    photographs : sequence of paths
        In color; two are drawn for each clip.
    kinds : iterable of str
        Of :data:`~fastcolor.evaluation.clips.KINDS`.
    variants : mapping of name to options
        Of :func:`~fastcolor.colorize_video`, to be compared.
    clips : int
        Of each kind, >= 1.
    progress : bool
    options
        Of every variant.

    Returns
    -------
    dict
        ``clips``, ``kinds``: ``{kind: {name: {measure: mean}}}``, where the measure ``after`` is the CIEDE2000 of the
        first three frames after a cut or a flash and of the fourth to sixth after a dissolve, None for kinds without.

    Raises
    ------
    ImageError
        A photograph cannot be read, or has no color; names it.
    ValueError
        Unknown kind, fewer than one clip, or too few photographs.
    """
    clips = checks.integer("clips", clips, 1)
    jobs = [(kind, seed) for kind in kinds for seed in range(clips)]
    rows: dict[str, dict[str, list[dict[str, float | None]]]] = {}
    for kind, seed in tqdm(jobs, unit="clip", disable=not progress):
        pair = np.random.default_rng(seed).choice(len(photographs), min(2, len(photographs)), replace=False)
        clip = make_clip([_in_color(photographs[k]) for k in pair], kind, seed=seed)
        for name, row in _measured(clip, variants, options).items():
            rows.setdefault(kind, {}).setdefault(name, []).append(row)
    means = {kind: {name: _means(found) for name, found in row.items()} for kind, row in rows.items()}
    return {"clips": clips, "kinds": means}


def clips_table(report: dict[str, Any]) -> str:
    """The means as lines of text."""
    lines = [
        f"{report['clips']} clips of each kind; after: CIEDE2000 of the first three frames after a cut or a flash, the",
        "fourth to sixth after a dissolve",
        f"{'':10}{'':16}{'flicker':>10}{'PSNR dB':>10}{'CIEDE2000':>12}{'after':>10}",
    ]
    for kind, row in report["kinds"].items():
        for name, means in row.items():
            cells = [_cell(means, measure, 3 if measure == "flicker" else 2) for measure in (*MEASURES, "after")]
            lines.append(f"{kind:10}{name:16}{cells[0]:>10}{cells[1]:>10}{cells[2]:>12}{cells[3]:>10}".rstrip())
            kind = ""
    return "\n".join(lines)


def _in_color(path: Path) -> Image.Image:
    photo = open_rgb(path)
    red, green, blue = np.moveaxis(np.asarray(photo), -1, 0)
    if (red == green).all() and (green == blue).all():
        raise ImageError(f"{path}: expected a color photograph, got a gray one; leave it out")
    return photo


def _measured(
    clip: MadeClip, variants: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]
) -> dict[str, dict[str, float | None]]:
    films = {
        name: lambda variant=variant: colorize_video(clip.frames, **{**options, **variant})
        for name, variant in variants.items()
    }
    report = evaluate_video(lambda: clip.frames, films)
    rows: dict[str, dict[str, float | None]] = report["results"]
    for name, row in rows.items():
        errors = report["curves"][name].get("ciede2000")
        row["after"] = float(np.mean([errors[k] for k in clip.after])) if errors and clip.after else None
    return rows


def _means(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for measure in rows[0]:
        values = [value for row in rows if (value := row[measure]) is not None]
        means[measure] = float(np.mean(values)) if values else None
    return means


def _cell(means: dict[str, float | None], measure: str, digits: int) -> str:
    value = means.get(measure)
    return "" if value is None else f"{value:.{digits}f}"
