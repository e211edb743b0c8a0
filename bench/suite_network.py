"""Suites ``loss`` and ``network``: what a training step and a forward pass cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from . import bytes as traffic
from . import compare, inputs
from .cases import Candidate, Case, Run, Setting, Verdict


def loss(setting: Setting) -> Iterator[Case]:
    """Forward and backward of a batch, one weight a pixel, as `encode` gives them."""
    images, side = (1, 128) if setting.quick else (4, 256)
    bins = inputs.bins()
    x = np.stack([inputs.logits(side, side, seed) for seed in range(images)])
    _, labels, weights = fastcolor.encode(inputs.photo(side, side), bins, label_dtype="int64")
    labels, weights = (np.repeat(a[None], images, axis=0) for a in (labels, weights))
    expected = reference.weighted_cross_entropy(x, labels, weights)
    gradient = reference.weighted_cross_entropy_gradient(x, labels, weights)
    check = compare.every(
        [
            compare.close(expected, relative=1e-4, pick=compare.part(0)),  # float32 sums over all pixels
            compare.close(gradient, absolute=1e-6 * float(np.abs(gradient).max()), relative=1e-4, pick=compare.part(1)),
        ]
    )

    def step(kind: str) -> Run:
        import torch

        logits = torch.from_numpy(x.copy()).requires_grad_()
        return _backward(_losses()[kind], logits, torch.from_numpy(labels), torch.from_numpy(weights))

    needs = ("torch",)
    yield Case(
        suite="loss",
        name="forward + backward",
        shape=f"{images}x{bins.n}x{side}x{side}",
        dtype="float32",
        layout="planar",
        pixels=images * side * side,
        traffic=traffic.cross_entropy(images * side * side, bins.n, label_bytes=8),
        check=check,
        main=True,
        candidates=(
            Candidate("fastcolor", lambda: step("fastcolor"), needs, ours=True),
            Candidate("F.cross_entropy, weights a pixel", lambda: step("torch"), needs),
            Candidate("torch.compile of it", lambda: step("compiled"), needs),
        ),
    )


def _losses() -> dict[str, Callable[..., Any]]:
    import torch

    from fastcolor.loss import weighted_cross_entropy

    def per_pixel(x: Any, labels: Any, weights: Any) -> Any:
        values = torch.nn.functional.cross_entropy(x, labels, reduction="none")
        return (values * weights).sum() / weights.sum()

    return {
        "fastcolor": weighted_cross_entropy,
        "torch": per_pixel,
        "compiled": torch.compile(per_pixel, dynamic=False, fullgraph=True),
    }


def _backward(function: Callable[..., Any], logits: Any, labels: Any, weights: Any) -> Run:
    def run() -> tuple[Any, Any]:
        logits.grad = None
        value = function(logits, labels, weights)
        value.backward()
        return value.detach(), logits.grad

    return run


@lru_cache(maxsize=1)
def _network() -> Any:
    import torch

    from fastcolor.unet import ColorUNet

    torch.manual_seed(0)
    return ColorUNet().eval()


def network(setting: Setting) -> Iterator[Case]:
    """The paper's network on one 256x256 image; all candidates are ours, and none is the floor's concern."""
    side = 128 if setting.quick else 256

    def forward(dtype: str, channels_last: bool) -> Run:
        import copy

        import torch

        layout = torch.channels_last if channels_last else torch.contiguous_format
        model = copy.deepcopy(_network()).to(memory_format=layout)
        luma = torch.from_numpy(inputs.yuv(side, side)[None, :1].copy()).to(memory_format=layout)

        def run() -> Any:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                return model(luma)

        return run

    def check(answer: Any) -> Verdict:
        """Finite logits of the right shape: the network has no reference but itself."""
        array = answer.float().numpy()
        ok = array.shape == (1, 32, side, side) and bool(np.isfinite(array).all())
        return Verdict(ok, 0.0 if ok else 1.0, 0.0, "finite, of the right shape")

    needs = ("torch",)
    yield Case(
        suite="network",
        name="forward",
        shape=f"1x1x{side}x{side}",
        dtype="float32",
        layout="planar",
        pixels=side * side,
        traffic=traffic.Traffic(4 * side * side, 128 * side * side),
        check=check,
        main=True,
        candidates=(
            Candidate("fastcolor, float32", lambda: forward("float32", False), needs, ours=True),
            Candidate("fastcolor, float32, channels-last", lambda: forward("float32", True), needs, ours=True),
            Candidate("fastcolor, bfloat16, channels-last", lambda: forward("bfloat16", True), needs, ours=True),
        ),
    )
