"""Suite ``overhead``: what a call of each public operation costs the host, on an image with next to no work in it.

On the CPU also by the CUDA host code with its launches left out (``stubbed``). Of fastcolor public names are used, and
what older checkouts have as well, so that the suite measures these, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import fastcolor
from fastcolor import reference

from ..bytes import Traffic
from ..cases import Candidate, Case, Check, Setting
from ..peers.registry import Peers
from . import compare, inputs, stubbed
from .decode import confidence_checks
from .network import backward, loss_check, targets
from .sizes import Size, comes_with

SIDE = 16
STUBBED = "fastcolor, CUDA host code, launch stubbed"
TIES = 1e-2  # of 768 values: the share of pictures in general would allow none


class Operation(NamedTuple):
    """What is called on which arrays; ``build(backend)`` gives the function of the arrays."""

    arrays: tuple[np.ndarray, ...]
    check: Check
    build: Callable[[str], Callable[..., Any]]
    torch_only: bool = False
    launches: int = 1


def overhead(setting: Setting) -> Iterator[Case]:
    """A case an operation: for NumPy arrays and torch tensors, on a GPU for torch tensors and CuPy arrays."""
    for name, operation in {**_operations(), **_losses()}.items() if setting.plain and comes_with(setting, 1) else ():
        first = operation.arrays[0]
        layout = "channels-last" if first.dtype == np.uint8 else "planar"
        array = f"{'x'.join(map(str, first.shape))} {first.dtype} {layout}"
        size = Size(SIDE, SIDE, name, host=True)
        yield size.case("overhead", array, Traffic(0, 0), operation.check, _candidates(setting, operation))


def _candidates(setting: Setting, operation: Operation) -> list[Candidate]:
    build, make = operation.build, Peers(setting, *operation.arrays)
    if not make.where.gpu or operation.torch_only:
        on_torch = make.torch("fastcolor, torch tensors", lambda _: build("auto"), "with_grad", ours=True)
        plain = [*([] if operation.torch_only else make.ours(build, ", NumPy arrays")), on_torch]
        if make.where.gpu or not operation.launches:
            return plain
        seen = make.arrays[1:] if operation.torch_only else make.arrays  # a leaf is a copy
        check = stubbed.launched(seen, operation.launches)
        stub = make.torch(STUBBED, lambda _: stubbed.with_backend(build), "with_grad", ours=True, check=check)
        return [*plain, stub]
    return [*make.ours(build, ", torch tensors"), *make.ours_on_cupy(build)]


def _operations() -> dict[str, Operation]:
    bins, rgb, x = inputs.bins(), inputs.photo(SIDE, SIDE), inputs.logits(SIDE, SIDE)
    luma, chroma = inputs.yuv(SIDE, SIDE)[0], np.ascontiguousarray(inputs.yuv(SIDE // 4, SIDE // 4)[1:])
    labels, decoded = reference.encode(rgb, bins)[1], reference.decode(x, luma, bins)
    picture = compare.image(decoded, ties=TIES, pick=compare.part(0))

    def smoother(backend: str) -> Callable[..., Any]:
        return fastcolor.TemporalSmoother(bins, backend=backend).step  # of frames that are all the same

    def with_confidence(backend: str) -> Callable[..., Any]:
        return lambda a, y: fastcolor.decode(a, y, bins, confidence=True, backend=backend)

    return {
        "encode": Operation(
            (rgb,), compare.equal(labels, compare.part(1)), lambda b: lambda a: fastcolor.encode(a, bins, backend=b)
        ),
        "histogram": Operation(
            (rgb,),
            compare.equal(reference.histogram(rgb, bins.cells)),
            lambda b: lambda a: fastcolor.histogram(a, bins.cells, backend=b),
        ),
        "decode": Operation(
            (x, luma),
            compare.image(decoded, ties=TIES),
            lambda b: lambda a, y: fastcolor.decode(a, y, bins, backend=b),
        ),
        "decode with confidence": Operation(
            (x, luma),
            compare.every([picture, *confidence_checks(x, 1, np.asarray)]),
            with_confidence,
        ),
        "annealed_mean": Operation(
            (x,),
            compare.close(reference.annealed_mean(x, bins, axis=0), absolute=2e-6),
            lambda b: lambda a: fastcolor.annealed_mean(a, bins, backend=b),
        ),
        "confidence": Operation(
            (x,),
            compare.every(confidence_checks(x, 0, np.asarray)),
            lambda b: lambda a: fastcolor.confidence(a, backend=b),
        ),
        "merge": Operation(
            (chroma, luma),
            compare.image(reference.merge(chroma, luma), ties=TIES),
            lambda b: lambda c, y: fastcolor.merge(c, y, backend=b),
        ),
        "TemporalSmoother.step": Operation((x, luma), compare.image(decoded, levels=3, ties=1.0), smoother),
    }


def _losses() -> dict[str, Operation]:
    labels, weights = (a[None] for a in targets(SIDE, SIDE))
    arrays = inputs.logits(SIDE, SIDE)[None], labels, weights
    value = compare.close(reference.weighted_cross_entropy(*arrays), relative=1e-4)

    def by(function: Callable[..., Any]) -> Callable[[str], Callable[..., Any]]:
        return lambda backend: function if backend == "auto" else stubbed.loss_on(backend, function)

    loss, checked = fastcolor.weighted_cross_entropy, loss_check(*arrays)
    return {
        "weighted_cross_entropy": Operation(arrays, value, by(loss), torch_only=True, launches=0),
        "weighted_cross_entropy, backward": Operation(arrays, checked, by(backward(loss)), torch_only=True, launches=3),
    }
