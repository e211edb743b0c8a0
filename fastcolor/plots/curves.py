"""Plots with axes, drawn by matplotlib (extra ``plot``) without touching the caller's pyplot state."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError
from ..files.atomic import atomic_path
from ..files.marks import marked
from ..files.writing import WRITERS
from ..reference.bins import ColorBins
from ..reference.constants import CHROMA_MAX, LUMA_MAX
from ..reference.ops import join

_LAMS = (0.2, 0.5)  # of the ColorUNet authors' code, and of Zhang et al.
_MID_LUMA = 0.5
_INCHES = (11.0, 5.2)
_DPI = 120


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raise now what :func:`plot_bins` would raise later.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    ValueError
        The suffix of `path` is none that matplotlib writes.
    """
    known = sorted(new_figure().canvas.get_supported_filetypes())
    if Path(path).suffix.lower().lstrip(".") not in known:
        raise ValueError(f"plot: expected a name that ends in .{', .'.join(known)}, got {os.fspath(path)!r}")


def plot_bins(bins: ColorBins, path: str | os.PathLike[str], *, replace: bool = True) -> None:
    """Draw bins as in Figure 1 of the ColorUNet paper: colors, frequency, inverse frequency, class weights.

    Parameters
    ----------
    bins : ColorBins
    path : path
        Written whole or not at all; the suffix says the format.
    replace : bool
        Whether a file that is there is replaced.

    Raises
    ------
    MissingExtraError, ValueError, OSError
        See :func:`check_plot`; the folder does not exist or cannot be written.

    References
    ----------
    ColorUNet (arXiv:1811.03120), Figure 1.
    """
    check_plot(path)
    figure = new_figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplot_mosaic(
        [["plane", "swatches"], ["plane", "frequency"], ["plane", "weights"]],
        width_ratios=[1, 1.45],
        height_ratios=[0.3, 2, 2],
    )
    colors = join(np.full(bins.n, _MID_LUMA * LUMA_MAX[bins.space]), bins.colors, bins.space)  # (n, 3)
    _plane(axes["plane"], bins, colors)
    _swatches(axes["swatches"], colors)
    _frequency(axes["frequency"], bins, colors)
    _weights(axes["weights"], bins)
    save_figure(figure, path, replace=replace)


def save_figure(figure: Any, path: str | os.PathLike[str], *, replace: bool = True) -> None:
    """Write a figure, whole or not at all, and marked as none of photographs where it could be taken for one."""
    options = {"pil_kwargs": marked()} if Path(path).suffix.lower() in WRITERS else {}
    with atomic_path(path, replace=replace) as temporary:
        figure.savefig(temporary, dpi=_DPI, **options)


def new_figure(what: str = "a plot", **options: Any) -> Any:
    """A matplotlib figure of its own, or MissingExtraError that says `what` needs it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(what, "matplotlib", "plot") from None
    return Figure(**options)


def _plane(axes: Any, bins: ColorBins, colors: Any) -> None:
    """Every cell in the color of its bin, and where the bins' colors lie."""
    picture = np.swapaxes(colors[bins.table], 0, 1)  # U or a to the right, V or b upwards
    right, up = CHROMA_MAX[bins.space]
    axes.imshow(picture, origin="lower", extent=(-right, right, -up, up), interpolation="nearest")
    axes.scatter(*bins.colors.T, s=12, c="white", edgecolors="black", linewidths=0.6)
    across, upwards = {"yuv": ("U", "V"), "lab": ("a", "b")}[bins.space]
    title = f"{bins.n} bins of {bins.cells} × {bins.cells} cells, at luma {_MID_LUMA * LUMA_MAX[bins.space]:g}"
    axes.set(xlabel=across, ylabel=upwards, title=title)


def _swatches(axes: Any, colors: Any) -> None:
    axes.imshow(colors[None], aspect="auto", extent=(-0.5, len(colors) - 0.5, 0, 1))
    axes.set(yticks=[], xlim=(-0.5, len(colors) - 0.5), title="color of each bin")
    axes.tick_params(bottom=False, labelbottom=False)


def _frequency(axes: Any, bins: ColorBins, colors: Any) -> None:
    axes.bar(range(bins.n), bins.prior, width=0.85, color=colors / 255.0, edgecolor="black", linewidth=0.5)
    axes.set(yscale="log", ylabel="frequency $p_b$", xlim=(-0.5, bins.n - 0.5))
    axes.tick_params(labelbottom=False)
    axes.grid(axis="y", alpha=0.3)


def _weights(axes: Any, bins: ColorBins) -> None:
    """Inverse frequency is λ = 0; all are scaled to ``sum_b p_b w_b = 1``."""
    axes.plot(bins.weights(0.0), color="gray", label="inverse frequency")
    for lam, marker in zip(_LAMS, "os", strict=True):
        axes.plot(bins.weights(lam), marker, markersize=4, linestyle="-", label=f"class weight, λ = {lam}")
    axes.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
    axes.set(yscale="log", ylabel="weight $w_b$", xlabel="bin $b$", xlim=(-0.5, bins.n - 0.5))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper left", fontsize="small")
