"""Measuring a network on color photographs: it sees their luma, and the result is compared with the colors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..bins import ColorBins
from ..encoding import encode
from ..files.sets import Photograph, open_rgb
from ..loss import weighted_cross_entropy
from ..network.inference import predict
from ..network.unet import ColorUNet
from ..ops import annealed_mean, merge
from ..photo.colorizer import Colorizer
from ..plots.figures import contact_sheet
from .metrics import Rgb, colorfulness, delta_e2000, psnr, rgb_to_lab

Scores = dict[str, float]

_NO_CHROMA = np.zeros((2, 1, 1), np.float32)


def evaluate(
    model: ColorUNet,
    paths: Sequence[Path],
    *,
    temperatures: Iterable[float] = (),
    size: int | None = None,
    lam: float = 0.5,
    progress: bool = False,
) -> dict[str, Any]:
    """Mean PSNR, CIEDE2000 and colorfulness at each temperature, beside those of the gray images and of the truth.

    Parameters
    ----------
    model : ColorUNet
        With its bins.
    paths : sequence of paths
        Color photographs.
    temperatures : iterable of float
        The model's own by default.
    size : int, optional
        Side of the square that photographs become for the network; the model's own by default.
    lam : float
        λ of the weighted cross entropy.
    progress : bool
        Draw a bar.

    Returns
    -------
    dict
        ``images``, ``size``, ``top1`` (share of logits whose largest is the label's), ``weighted_cross_entropy``, and
        ``results``: rows of ``name``, ``temperature``, ``psnr``, ``ciede2000``, ``colorfulness`` for gray, truth, and
        each temperature. All are means over the photographs.
    """
    colorizer = Colorizer.load(model, size=size)
    temperatures = list(temperatures) or [colorizer.temperature]
    rows: dict[str, list[Scores]] = {name: [] for name in ("gray", "truth", *map(str, temperatures))}
    labelled = []
    for path in tqdm(paths, unit="photo", disable=not progress):
        rgb, luma, logits = _seen(path, colorizer)
        labelled.append(label_scores(logits, rgb, colorizer.bins, lam))
        lab = rgb_to_lab(rgb)
        rows["gray"].append(_compare(merge(_NO_CHROMA, luma), rgb, lab))
        rows["truth"].append({"colorfulness": colorfulness(rgb)})
        for temperature in temperatures:
            result = colored(logits, luma, colorizer.bins, temperature)
            rows[str(temperature)].append(_compare(result, rgb, lab))
    results = [{"name": name if name in ("gray", "truth") else "network", **_mean(row)} for name, row in rows.items()]
    for row, temperature in zip(results[2:], temperatures, strict=True):
        row["temperature"] = temperature
    return {"images": len(paths), "size": colorizer.size, "lam": lam, **_mean(labelled), "results": results}


def _seen(path: Photograph, colorizer: Colorizer) -> tuple[Rgb, NDArray[np.float32], Tensor]:
    """The colors of a photograph, its luma, and the network's logits of that."""
    rgb = np.asarray(open_rgb(path))
    luma, _, _ = encode(rgb, colorizer.bins)
    return rgb, luma, predict(colorizer.network, colorizer.reduce(luma)).cpu()


def colored(logits: Tensor, luma: NDArray[np.float32], bins: ColorBins, temperature: float) -> Rgb:
    """``merge(annealed_mean(logits), luma)``."""
    return merge(annealed_mean(logits, bins, temperature=temperature).numpy(), luma)


def label_scores(logits: Tensor, rgb: Rgb, bins: ColorBins, lam: float) -> Scores:
    """Top-1 accuracy and weighted cross entropy against the labels of the photograph at the logits' size."""
    height, width = logits.shape[-2:]
    small = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))
    _, labels, weights = encode(small, bins, lam=lam)
    expected, pixel = (torch.from_numpy(part)[None] for part in (labels, weights))
    loss = weighted_cross_entropy(logits[None], expected, pixel)
    return {"top1": float((logits.argmax(0).numpy() == labels).mean()), "weighted_cross_entropy": loss.item()}


def _compare(result: Rgb, truth: Rgb, truth_lab: NDArray[Any]) -> Scores:
    return {
        "psnr": psnr(result, truth),
        "ciede2000": float(delta_e2000(rgb_to_lab(result), truth_lab).mean()),
        "colorfulness": colorfulness(result),
    }


def _mean(rows: Sequence[Scores]) -> Scores:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def table(report: dict[str, Any]) -> str:
    """The results as lines of text: differences to gray, and colorfulness relative to the truth's."""
    gray, truth = report["results"][:2]
    lines = [
        f"{report['images']} photographs at size {report['size']}: top-1 {100 * report['top1']:.1f} %, "
        f"weighted cross entropy {report['weighted_cross_entropy']:.4f} (lambda {report['lam']:g})",
        f"{'':12}{'PSNR dB':>18}{'CIEDE2000':>20}{'colorfulness':>20}",
        f"{'gray':12}{gray['psnr']:>9.2f}{'':9}{gray['ciede2000']:>11.2f}{'':9}{gray['colorfulness']:>11.1f}",
    ]
    for row in report["results"][2:]:
        change = 100 * (row["ciede2000"] / gray["ciede2000"] - 1)
        vivid = 100 * (row["colorfulness"] / truth["colorfulness"] - 1)
        lines.append(
            f"T = {row['temperature']:<8g}{row['psnr']:>9.2f} ({row['psnr'] - gray['psnr']:+5.2f})"
            f"{row['ciede2000']:>12.2f} ({change:+5.1f}%){row['colorfulness']:>11.1f} ({vivid:+5.1f}%)"
        )
    lines.append(f"{'truth':12}{'':9}{'':9}{'':11}{'':9}{truth['colorfulness']:>11.1f}")
    return "\n".join(lines)


def sheet(model: ColorUNet, paths: Sequence[Photograph], *, temperature: float | None = None, width: int = 192) -> Rgb:
    """A row a photograph: what the network sees, what it makes of it at `temperature`, and the truth."""
    colorizer = Colorizer.load(model, temperature=temperature)
    chosen = colorizer.temperature
    rows = []
    for path in paths:
        rgb, luma, logits = _seen(path, colorizer)
        shown = colored(logits, luma, colorizer.bins, chosen)
        rows.append([("input", merge(_NO_CHROMA, luma)), (f"T = {chosen:g}", shown), (path.stem, rgb)])
    return contact_sheet(rows, width=width)
