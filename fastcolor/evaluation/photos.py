"""Measuring a network on color photographs: it sees their luma, and the result is compared with the colors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..bins import ColorBins
from ..encoding import encode
from ..files.images import gray_of
from ..files.sets import Photograph, open_rgb
from ..loss import weighted_cross_entropy
from ..network.unet import ColorUNet
from ..ops import confidence, merge
from ..photo.colorizer import Colorizer
from ..photo.decoding import Decoding
from ..photo.paper import render
from ..plots.figures import contact_sheet
from .calibration import Reliability
from .content import CLASSES, OTHER, Content
from .metrics import Rgb, colorfulness, delta_e2000, psnr, rgb_to_lab

Scores = dict[str, float]
Sets = Mapping[str, Sequence[Photograph]]

TOGETHER = "together"  # what the report names all sets

_NO_CHROMA = np.zeros((2, 1, 1), np.float32)


@dataclass(frozen=True)
class _Measured:
    """What one photograph has come to."""

    content: str
    label: Scores
    rows: list[Scores]  # of gray, of the truth, and of every decoding


def evaluate(
    model: ColorUNet,
    sets: Sets,
    *,
    decodings: Iterable[Decoding] = (),
    size: int | None = None,
    mirror: bool | None = None,
    lam: float = 0.5,
    content: Content | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Mean PSNR, CIEDE2000 and colorfulness by each decoding, beside those of the gray images and of the truth.

    Parameters
    ----------
    model : ColorUNet
        With its bins.
    sets : mapping of str to sequence of paths
        Color photographs, by the name of their set.
    decodings : iterable of Decoding
        The model's own by default.
    size : int, optional
        Side of the square that photographs become for the network; the model's own by default.
    mirror : bool, optional
        See photographs in a mirror, too; the model's own choice by default.
    lam : float
        λ of the weighted cross entropy.
    content : Content, optional
        Classes that are measured apart as well.
    progress : bool
        Draw a bar.

    Returns
    -------
    dict
        ``size``, ``mirror``, ``lam`` and ``sets``, a list of one entry a set and, if there are several, one of
        all, "together". An entry has ``name``, ``images``, ``top1`` (share of logits whose largest is the label's),
        ``weighted_cross_entropy``, ``calibration`` (:meth:`Reliability.report`), ``results``: rows of ``name``,
        ``psnr``, ``ciede2000``, ``colorfulness`` for gray, truth, and each decoding, whose numbers stand with them;
        and, with `content`, ``content``: ``name``, ``images``, ``results`` of each class that it has. All are means
        over the photographs; that of ``psnr`` leaves out those that a row equals, as gray does a gray photograph, for
        theirs is infinite, and is None if none is left.

    Raises
    ------
    ImageError, OSError
        A photograph cannot be read; names it.
    ValueError
        No photographs; wrong options.
    """
    check_sets(sets)
    colorizer = Colorizer.load(model, size=size, mirror=mirror)
    chosen = list(decodings) or [colorizer.decoding]
    measured: list[tuple[str, list[_Measured], Reliability]] = []
    bar = tqdm(total=sum(map(len, sets.values())), unit="photo", disable=not progress)
    with bar:
        for name, photographs in sets.items():
            meter, group = Reliability(), []
            for photograph in photographs:
                group.append(_measure(photograph, colorizer, chosen, lam, content, meter))
                bar.update()
            measured.append((name, group, meter))
    if len(sets) > 1:
        _, groups, meters = zip(*measured, strict=True)
        measured.append((TOGETHER, list(chain.from_iterable(groups)), sum_of(meters)))
    entries = [_entry(name, group, chosen, meter, by_content=content is not None) for name, group, meter in measured]
    return {"size": colorizer.size, "mirror": colorizer.mirror, "lam": lam, "sets": entries}


def check_sets(sets: Sets) -> None:
    """ValueError unless there are sets, and photographs in each."""
    if not sets or not all(map(len, sets.values())):
        raise ValueError(f"sets: expected photographs in every set, got { ({k: len(v) for k, v in sets.items()}) }")


def sum_of(meters: Iterable[Reliability]) -> Reliability:
    """A meter of the pixels of all."""
    total = Reliability()
    for meter in meters:
        total += meter
    return total


def seen(photograph: Photograph, colorizer: Colorizer) -> tuple[Rgb, NDArray[np.float32], Tensor]:
    """The colors of a photograph, its luma, and the network's logits of that."""
    rgb = np.asarray(open_rgb(photograph))
    luma, _, _ = encode(rgb, colorizer.bins)
    return rgb, luma, colorizer.logits(colorizer.reduce(luma))


def reduced(rgb: Rgb, logits: Tensor) -> Rgb:
    """The photograph at the size of its logits: each pixel the mean of those that the logits stand for."""
    height, width = logits.shape[-2:]
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))


def label_scores(logits: Tensor, rgb: Rgb, bins: ColorBins, lam: float, meter: Reliability | None = None) -> Scores:
    """Top-1 accuracy and weighted cross entropy against the labels of the photograph at the logits' size."""
    _, labels, weights = encode(reduced(rgb, logits), bins, lam=lam)
    expected, pixel = (torch.from_numpy(part)[None] for part in (labels, weights))
    loss = weighted_cross_entropy(logits[None], expected, pixel)
    hit = logits.argmax(0).numpy() == labels
    if meter is not None:
        meter.add(confidence(logits)[0].numpy(), hit)
    return {"top1": float(hit.mean()), "weighted_cross_entropy": loss.item()}


def _measure(
    photograph: Photograph,
    colorizer: Colorizer,
    decodings: Sequence[Decoding],
    lam: float,
    content: Content | None,
    meter: Reliability,
) -> _Measured:
    rgb, luma, logits = seen(photograph, colorizer)
    lab = rgb_to_lab(rgb)
    rows = [_compare(merge(_NO_CHROMA, luma), rgb, lab), {"colorfulness": colorfulness(rgb)}]
    for decoding in decodings:
        rows.append(_compare(render(decoding.chroma(logits, colorizer.bins), luma), rgb, lab))
    kind = OTHER if content is None else content.of(photograph)
    return _Measured(kind, label_scores(logits, rgb, colorizer.bins, lam, meter), rows)


def _compare(result: Rgb, truth: Rgb, truth_lab: NDArray[Any]) -> Scores:
    return {
        "psnr": psnr(result, truth),
        "ciede2000": float(delta_e2000(rgb_to_lab(result), truth_lab).mean()),
        "colorfulness": colorfulness(result),
    }


def _entry(
    name: str, group: Sequence[_Measured], decodings: Sequence[Decoding], meter: Reliability, *, by_content: bool
) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "images": len(group), **_mean([one.label for one in group])}
    entry |= {"calibration": meter.report(), "results": _results(group, decodings)}
    if by_content:
        entry["content"] = list(_classes(group, decodings))
    return entry


def _classes(group: Sequence[_Measured], decodings: Sequence[Decoding]) -> Iterator[dict[str, Any]]:
    for kind in (*CLASSES, OTHER):
        if members := [one for one in group if one.content == kind]:
            yield {"name": kind, "images": len(members), "results": _results(members, decodings)}


def _results(group: Sequence[_Measured], decodings: Sequence[Decoding]) -> list[dict[str, Any]]:
    gray, truth, *rest = (_mean(rows) for rows in zip(*(_comparable(one.rows) for one in group), strict=True))
    network = ({"name": "network", **asdict(how), **row} for how, row in zip(decodings, rest, strict=True))
    return [{"name": "gray", **gray}, {"name": "truth", **truth}, *network]


def _comparable(rows: Sequence[Scores]) -> Sequence[Mapping[str, float | None]]:
    """The rows of a photograph; PSNR that is infinite in one counts in none, or their means were of other photos."""
    if all(math.isfinite(row.get("psnr", 0.0)) for row in rows):
        return rows
    return [{name: None if name == "psnr" else value for name, value in row.items()} for row in rows]


def _mean(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """By name, of the values that there are; None if there are none."""
    found = {name: [value for row in rows if (value := row[name]) is not None] for name in rows[0]}
    return {name: float(np.mean(values)) if values else None for name, values in found.items()}


def sheet(
    model: ColorUNet,
    paths: Sequence[Photograph],
    *,
    decoding: Decoding | None = None,
    size: int | None = None,
    mirror: bool | None = None,
    width: int = 192,
) -> Rgb:
    """A row a photograph: what the network sees, what it makes of it, and the truth; options as of :func:`evaluate`."""
    colorizer = Colorizer.load(model, size=size, mirror=mirror)
    decoding = decoding or colorizer.decoding
    rows = []
    for path in paths:
        rgb, luma, logits = seen(path, colorizer)
        shown = render(decoding.chroma(logits, colorizer.bins), luma)
        rows.append([("input", gray_of(luma)), (str(decoding), shown), (path.stem, rgb)])
    return contact_sheet(rows, width=width)
