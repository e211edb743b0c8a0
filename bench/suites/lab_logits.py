"""Suites ``loss_soft``, ``chroma_lab`` and ``decode_lab``: logits of the 313 bins of Zhang et al."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastcolor
from fastcolor import reference

from .. import bytes as traffic
from ..cases import Case, Setting
from ..peers import lab
from ..peers.registry import Peers
from . import compare, inputs
from .decode import ROWS, rows
from .lab_targets import LAM, NEIGHBORS, SIGMA, torch_peer
from .network import backward, loss_check
from .sizes import Size, sizes

SIDE = 64  # pixels a side of the logits, as of pictures of 256
T = 1 / 2.606  # of Zhang et al.'s released network
CHROMA = 2e-4  # of 110: float32


def _images(setting: Setting) -> int:
    return 2 if setting.quick else 8


def loss_soft(setting: Setting) -> Iterator[Case]:
    """Forward and backward of a batch: five labels and shares a pixel, and its weight."""
    x = inputs.lab_logits(_images(setting), SIDE)
    labels, shares, weights = _targets(len(x))
    hard, dense = np.ascontiguousarray(labels[:, 0]), _dense(labels, shares)
    make = Peers(setting, x, labels, weights, shares)
    of_dense, of_hard = Peers(setting, x, dense, weights), Peers(setting, x, hard, weights)

    def ours(x: Any, labels: Any, weights: Any, shares: Any) -> Any:
        return fastcolor.weighted_cross_entropy(x, labels, weights, shares=shares)

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        import torch

        return backward(torch.compile(function, dynamic=False, fullgraph=True))

    plain = fastcolor.weighted_cross_entropy
    of_hard_labels = loss_check(x, hard, weights)
    candidates = [
        make.torch("fastcolor", lambda _: backward(ours), "with_grad", ours=True),
        of_hard.torch(
            "fastcolor, hard labels", lambda _: backward(plain), "with_grad", ours=True, check=of_hard_labels
        ),
        of_dense.torch("fastcolor, dense targets", lambda _: backward(plain), "with_grad", ours=True),
        torch_peer(of_dense, "F.cross_entropy, dense targets", lambda p: backward(p.loss_dense), "with_grad"),
        torch_peer(make, "torch log_softmax + gather", lambda p: backward(p.loss_gather), "with_grad"),
        torch_peer(make, "torch logsumexp - gather", lambda p: backward(p.loss_logsumexp), "with_grad"),
        torch_peer(make, "torch.compile, log_softmax + gather", lambda p: compiled(p.loss_gather), "with_grad"),
        torch_peer(make, "torch.compile, logsumexp - gather", lambda p: compiled(p.loss_logsumexp), "with_grad"),
        torch_peer(of_dense, "torch.compile, dense targets", lambda p: compiled(p.loss_dense), "with_grad"),
    ]
    size = Size(len(x) * SIDE, SIDE, "forward + backward, 5 of 313", main=True)
    moved = traffic.cross_entropy(size.pixels, x.shape[1], label_bytes=8, neighbors=NEIGHBORS)
    yield size.case("loss_soft", _array(x), moved, loss_check(x, labels, weights, shares), candidates)


def _array(x: np.ndarray) -> str:
    return "x".join(map(str, x.shape)) + " float32 planar"


def _targets(images: int) -> tuple[np.ndarray, ...]:
    """Labels (int64), shares and weights of a batch of one photograph."""
    photos = np.repeat(inputs.photo(SIDE, SIDE)[None], images, axis=0)
    _, labels, shares, weights = fastcolor.encode_soft(
        photos, inputs.zhang(), neighbors=NEIGHBORS, sigma=SIGMA, lam=LAM, axis=1, label_dtype="int64"
    )
    return labels, shares, weights


def _dense(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    target = np.zeros((len(labels), inputs.zhang().n, *labels.shape[2:]), np.float32)
    np.put_along_axis(target, labels, shares, axis=1)
    return target


def chroma_lab(setting: Setting) -> Iterator[Case]:
    """Logits of a batch to ab."""
    bins, x = inputs.zhang(), inputs.lab_logits(_images(setting), SIDE)
    make = Peers(setting, x)

    def ours(backend: str) -> Callable[[Any], Any]:
        return lambda x: fastcolor.annealed_mean(x, bins, temperature=T, axis=1, backend=backend)

    candidates = [
        *make.ours(ours),
        make.numpy("numpy", lambda _: lab.annealed_mean(bins, T)),
        torch_peer(make, "torch softmax + 1x1 convolution", lambda p: p.mean_conv(bins, T)),
        torch_peer(make, "torch softmax + einsum", lambda p: p.mean_einsum(bins, T)),
        torch_peer(make, "torch.compile, softmax + 1x1 convolution", lambda p: p.mean_conv(bins, T), "compiled"),
        torch_peer(make, "torch.compile, weighted sums", lambda p: p.mean_sums(bins, T), "compiled"),
    ]
    size = Size(len(x) * SIDE, SIDE, "planar float32, 313 bins", main=True)
    first = reference.annealed_mean(x[:1], bins, temperature=T, axis=1)
    check = compare.close(first, absolute=CHROMA, pick=lambda answer: np.asarray(answer)[:1])
    yield size.case("chroma_lab", _array(x), traffic.annealed_mean(size.pixels, x.shape[1]), check, candidates)


def decode_lab(setting: Setting) -> Iterator[Case]:
    """Logits of 64 x 64 and L of a megapixel to RGB."""
    for size in sizes(setting, "313x64x64 to full size"):
        yield _decode(setting, size)


def _decode(setting: Setting, size: Size) -> Case:
    bins, x = inputs.zhang(), inputs.lab_logits(1, SIDE)[0]
    light = np.ascontiguousarray(reference.rgb_to_lab(inputs.photo(size.height, size.width))[..., 0], np.float32)
    make = Peers(setting, x, light)

    def ours(backend: str) -> Callable[..., Any]:
        return lambda x, light: fastcolor.decode(x, light, bins, temperature=T, backend=backend)

    other = "another gamma, matrix and white"
    candidates = [
        *make.ours(ours),
        make.other("OpenCV resize + cvtColor", "cv2", lab.decode_opencv, bins, T, inexact=other),
        make.other("scikit-image resize + lab2rgb", "skimage", lab.decode_skimage, bins, T, slow=True),
        torch_peer(make, "torch eager", lambda p: p.decode(bins, T)),
        torch_peer(make, "torch.compile", lambda p: p.decode(bins, T), "compiled"),
    ]
    chroma = reference.upsample(reference.annealed_mean(x, bins, temperature=T), *light.shape)[:, ROWS]
    check = compare.image(reference.join(light[ROWS], np.moveaxis(chroma, 0, -1), "lab"), pick=rows)
    array = f"313x{SIDE}x{SIDE}, {size.height}x{size.width} float32 planar"
    moved = traffic.decode_upsampled(SIDE * SIDE, bins.n, size.pixels)
    return size.case("decode_lab", array, moved, check, candidates)
