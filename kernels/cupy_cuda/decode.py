"""Decode, annealed mean and confidence on a GPU: which instance of ``decode.cu`` runs, and on what.

Arguments are arrays that the public API has validated, of one library and device; results are contiguous.
"""

from __future__ import annotations

import math
from typing import Any

from fastcolor.reference.bins import space_of

from ..common import face
from ..common.device_arrays import contiguous, deliver, dtype_name, empty, moveaxis, pointer
from ..common.scale import log2_scale
from .engine import Engine, scalar_type
from .tile import Pass

# As in decode.cu.
RGB, RGB_PLANES, CHROMA, CONFIDENCE, MODE, PROBABILITIES, LAB, FLOAT_CHROMA = 1, 2, 4, 8, 16, 32, 64, 128


@face.annealed_mean
def annealed_mean(
    engine: Engine, logits: Any, bins: Any, temperature: float, axis: int, from_logits: bool, chroma: Any
) -> None:
    with engine.context(logits):
        run = Pass(engine, "decode", logits, axis, operation="annealed_mean")
        target = chroma
        if int(pointer(chroma)) % (2 * chroma.itemsize):  # U and V of a pixel may go out together
            target = empty(chroma, tuple(chroma.shape), dtype_name(chroma))
        count = math.prod(logits.shape[axis + 1 :])
        _launch(run, bins, temperature, from_logits, chroma=target, count=count)
        deliver(chroma, target)


@face.confidence
def confidence(engine: Engine, logits: Any, axis: int, from_logits: bool, top: Any, ratio: Any) -> None:
    with engine.context(logits):
        run = Pass(engine, "decode", logits, axis, operation="confidence")
        _launch(run, None, 1.0, from_logits, top=top, ratio=ratio)


@face.decode
def decode(
    engine: Engine,
    logits: Any,
    luma: Any,
    bins: Any,
    temperature: float,
    axis: int,
    channel: int,
    from_logits: bool,
    rgb: Any,
    top: Any = None,
    ratio: Any = None,
) -> None:
    last, count = channel == logits.ndim - 1, math.prod(luma.shape[channel:])
    with engine.context(logits):
        run = Pass(engine, "decode", logits, axis, operation="decode" if top is None else "decode_confidence")
        planar = not last and (run.last or count == run.count)
        target = rgb if planar or last else empty(logits, (*luma.shape, 3), "uint8")
        wanted = {"luma": luma, "rgb": target, "top": top, "ratio": ratio}
        _launch(run, bins, temperature, from_logits, planar=planar, count=count, **wanted)
        deliver(rgb, target if planar or last else moveaxis(target, -1, channel))


def _launch(
    run: Pass,
    bins: Any,
    temperature: float,
    from_logits: bool,
    *,
    planar: bool = False,
    count: int = 1,
    luma: Any = None,
    **wanted: Any,
) -> None:
    """What is `wanted` of the logits, rgb, chroma, top and ratio, each into its own contiguous array.

    `count` pixels lie between the planes of chroma or of planar RGB.
    """
    rgb, chroma, top, ratio = map(wanted.get, ("rgb", "chroma", "top", "ratio"))
    want = (RGB_PLANES if planar else RGB) if rgb is not None else 0
    want |= (CHROMA if chroma is not None else 0) | (CONFIDENCE if top is not None else 0)
    want |= (MODE if temperature == 0 else 0) | (0 if from_logits else PROBABILITIES)
    want |= LAB if rgb is not None and space_of(bins) == "lab" else 0
    want |= FLOAT_CHROMA if chroma is not None and chroma.itemsize > run.x.itemsize else 0
    luma = None if luma is None else contiguous(luma)
    kinds = ("float" if luma is None else scalar_type(luma), want)
    in_planes = (run.x, luma, rgb if planar else None, chroma, top, ratio)
    colors = run.colors(bins)
    plan = run.plan("decode", kinds, in_planes, colors)
    between = run.sizes(count if run.last else run.count, run.pixels)
    scale = log2_scale(temperature) if from_logits else log2_scale(temperature, 1.0)
    run.launch(plan, *between, scale, colors.argument, luma, rgb, chroma, top, ratio)
