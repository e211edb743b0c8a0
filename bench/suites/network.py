"""Suites ``loss`` and ``network``: what a training step and a forward pass cost."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from .. import bytes as traffic
from ..cases import Candidate, Case, Check, Run, Setting, Verdict
from ..measure import device
from ..peers.registry import Peers
from . import compare, inputs
from .sizes import Size, comes_with, sizes

SIDE = 256  # pixels a side of the images in a batch
# Networks: their bins, and the side of the luma to that of the logits.
BUNDLED = (("landscapes", 32, 1), ("everyday", 64, 2))


def loss(setting: Setting) -> Iterator[Case]:
    """Forward and backward of a batch, one weight a pixel, as `encode` gives them."""
    if device.place(setting.device).gpu:
        for size in sizes(setting, "forward + backward"):
            yield _loss(setting, size, *_strips(size))
    else:
        images, side = (1, 128) if setting.quick else (4, SIDE)
        x = np.stack([inputs.logits(side, side, seed) for seed in range(images)])
        labels, weights = (np.repeat(a[None], images, axis=0) for a in targets(side, side))
        yield _loss(setting, Size(images * side, side, "forward + backward", main=True), x, labels, weights)


def targets(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    _, labels, weights = fastcolor.encode(inputs.photo(height, width), inputs.bins(), label_dtype="int64")
    return labels, weights


def _strips(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph as a batch of strips of about :data:`SIDE` squared pixels: logits, labels, weights."""
    images = max(size.pixels // SIDE**2, 1)
    while size.height % images:  # strips are equally high
        images -= 1
    x = inputs.logits(size.height, size.width)
    x = np.ascontiguousarray(np.moveaxis(x.reshape(len(x), images, -1, size.width), 1, 0))
    labels, weights = (a.reshape(images, -1, size.width) for a in targets(size.height, size.width))
    return x, labels, weights


def _loss(setting: Setting, size: Size, x: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Case:
    def compiled(_: Any) -> Callable[..., Any]:
        import torch

        return backward(torch.compile(_per_pixel, dynamic=False, fullgraph=True))

    make = Peers(setting, x, labels, weights)
    candidates = [
        make.torch("fastcolor", lambda _: backward(fastcolor.weighted_cross_entropy), "with_grad", ours=True),
        make.torch("F.cross_entropy, weights a pixel", lambda _: backward(_per_pixel), "with_grad"),
        make.torch("torch.compile of it", compiled, "with_grad"),
    ]
    candidates += [make.cupy("CuPy", lambda p: p.weighted_cross_entropy())] if make.where.gpu else []
    array = "x".join(map(str, x.shape)) + " float32 planar"
    moved = traffic.cross_entropy(labels.size, x.shape[1], label_bytes=8)
    return size.case("loss", array, moved, loss_check(x, labels, weights), candidates)


def loss_check(x: np.ndarray, labels: np.ndarray, weights: np.ndarray, shares: np.ndarray | None = None) -> Check:
    """The loss, and the gradient of the first image: both are means over the batch, weighted by its images' weights."""
    split = [None] * len(x) if shares is None else np.split(shares, len(x))
    masses = weights.reshape(len(x), -1).sum(1, dtype=np.float64)
    share = masses / masses.sum()
    one = [(x[i : i + 1], labels[i : i + 1], weights[i : i + 1], None, split[i]) for i in range(len(x))]
    parts = [reference.weighted_cross_entropy(*arrays) for arrays in one]
    gradient = share[0] * reference.weighted_cross_entropy_gradient(*one[0])
    absolute = 1e-6 * float(np.abs(gradient).max())
    first = compare.part(1, lambda answer: answer[:1])
    return compare.every(
        [
            compare.close(np.dot(parts, share), relative=1e-4, pick=compare.part(0)),  # float32 sums over all pixels
            compare.close(gradient, absolute=absolute, relative=1e-4, pick=first),
        ]
    )


def _per_pixel(x: Any, labels: Any, weights: Any) -> Any:
    import torch

    values = torch.nn.functional.cross_entropy(x, labels, reduction="none")
    return (values * weights).sum() / weights.sum()


def backward(function: Callable[..., Any]) -> Callable[..., Any]:
    leaf: list[Any] = []  # made at the first call: a tensor of its own, which keeps the gradient

    def run(x: Any, *target: Any) -> tuple[Any, Any]:
        if not leaf:
            leaf.append(x.clone().requires_grad_())
        leaf[0].grad = None
        value = function(leaf[0], *target)
        value.backward()
        return value.detach(), leaf[0].grad

    return run


@lru_cache(maxsize=2)
def _network(name: str) -> Any:
    return fastcolor.ColorUNet.from_pretrained(name)


def network(setting: Setting) -> Iterator[Case]:
    """The bundled networks on 256x256 images, one on a CPU; all candidates are ours, none is the floor's concern."""
    if comes_with(setting, 0):
        yield from (_forward(setting, name, bins, fold) for name, bins, fold in BUNDLED)


def _forward(setting: Setting, name: str, bins: int, fold: int) -> Case:
    where = device.place(setting.device)
    side = 128 if setting.quick else SIDE
    images = where.network_images

    def forward(dtype: str, channels_last: bool) -> Run:
        import torch

        layout = torch.channels_last if channels_last else torch.contiguous_format
        model = copy.deepcopy(_network(name)).to(where.torch_device, memory_format=layout)
        luma = torch.from_numpy(np.repeat(inputs.yuv(side, side)[None, :1], images, axis=0))
        luma = luma.to(where.torch_device).to(memory_format=layout)
        kind = where.torch_device.partition(":")[0]

        def run() -> Any:
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=dtype == "bfloat16"):
                return model(luma)

        return run

    def check(answer: Any) -> Verdict:
        """Finite logits of the right shape: the network has no reference but itself."""
        ok = answer.shape == (images, bins, side // fold, side // fold) and bool(np.isfinite(answer).all())
        return Verdict(ok, 0.0 if ok else 1.0, 0.0, "finite, of the right shape")

    candidates = [
        Candidate("fastcolor, float32", lambda: forward("float32", False), ("torch",), ours=True),
        Candidate("fastcolor, float32, channels-last", lambda: forward("float32", True), ("torch",), ours=True),
        Candidate("fastcolor, bfloat16, channels-last", lambda: forward("bfloat16", True), ("torch",), ours=True),
    ]
    main = name == "landscapes"  # the paper's network
    size = Size(images * side, side, "forward" if main else f"forward, {name}", main=main)
    moved = traffic.Traffic(4 * size.pixels, 4 * bins * size.pixels // fold**2)
    return size.case("network", f"{images}x1x{side}x{side} float32 planar", moved, check, candidates)
