"""Few logits on a large luma, batches, and luma in half precision: what one call does is what its parts do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fastcolor  # noqa: E402
from fastcolor import ColorBins  # noqa: E402

SETS = {"yuv": ColorBins.default(), "lab": ColorBins.zhang()}
spaces = pytest.mark.parametrize("space", SETS)


def frames(space: str, batch: tuple[int, ...] = ()) -> tuple[Any, Any]:
    """Logits (..., n, 9, 11) and luma (..., 40, 37)."""
    rng, top = np.random.default_rng(len(batch)), 100.0 if space == "lab" else 1.0
    logits = 3 * rng.standard_normal((*batch, SETS[space].n, 9, 11), dtype=np.float32)
    return torch.from_numpy(logits), torch.from_numpy(rng.uniform(0, top, (*batch, 40, 37)).astype(np.float32))


@spaces
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 2)], ids=str)
def test_decode_is_merge_of_the_annealed_mean(space: str, batch: tuple[int, ...]) -> None:
    bins, (x, luma) = SETS[space], frames(space, batch)
    expected = fastcolor.merge(fastcolor.annealed_mean(x, bins), luma, space=space)
    assert expected.shape == (*batch, 40, 37, 3)
    rgb, top, ratio = fastcolor.decode(x, luma, bins, confidence=True)
    assert torch.equal(rgb, expected)
    for mine, alone in zip((top, ratio), fastcolor.confidence(x), strict=True):
        assert torch.equal(mine, alone)
    planes = fastcolor.decode(x, luma, bins, channel_axis=-3)
    assert torch.equal(planes.movedim(-3, -1), expected)
    room = torch.zeros(*batch, 3, 40, 37, dtype=torch.uint8)
    assert fastcolor.decode(x, luma, bins, channel_axis=-3, out=room) is room
    assert torch.equal(room, planes)
    exact = fastcolor.reference.decode(x.numpy(), luma.numpy(), bins)
    assert np.abs(exact.astype(int) - rgb.numpy()).max() <= 1


@spaces
def test_a_batch_is_its_images(space: str) -> None:
    _, luma = frames(space, (3,))
    chroma = torch.from_numpy(np.random.default_rng(1).uniform(-0.4, 0.4, (3, 2, 5, 6)).astype(np.float32))
    merged = fastcolor.merge(chroma, luma, space=space)
    for one, c, y in zip(merged, chroma, luma, strict=True):
        assert torch.equal(one, fastcolor.merge(c, y, space=space))


@spaces
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_widened_and_no_more(space: str, dtype: Any) -> None:
    """Luma as autocast leaves it; chroma between half logits and the picture is not rounded to half."""
    bins, (x, luma) = SETS[space], frames(space)
    x, luma = x.to(dtype), luma.to(dtype)
    wide = x.float(), luma.float()
    assert torch.equal(fastcolor.decode(x, luma, bins), fastcolor.decode(*wide, bins))
    same = luma[:9, :11].contiguous()
    assert torch.equal(fastcolor.decode(x, same, bins), fastcolor.decode(x.float(), same.float(), bins))
    chroma = torch.zeros(2, 4, 4, dtype=dtype)
    assert torch.equal(
        fastcolor.merge(chroma, luma, space=space), fastcolor.merge(chroma.float(), wide[1], space=space)
    )
    steps = [fastcolor.TemporalSmoother(bins).step(*args) for args in ((x, same), (x.float(), same.float()))]
    assert torch.equal(*steps)


@spaces
def test_probabilities_go_the_same_way(space: str) -> None:
    bins, (x, luma) = SETS[space], frames(space)
    p = torch.softmax(x, dim=0)
    rgb = fastcolor.decode(p, luma, bins, from_logits=False)
    assert (rgb.int() - fastcolor.decode(x, luma, bins).int()).abs().max() <= 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_a_range_is_looked_at_whatever_the_dtype(dtype: Any) -> None:
    """1 in bfloat16 has the bits of 16256, which is what NumPy would see."""
    one = torch.ones(3, dtype=dtype)
    fastcolor.check_range(one, "luma")
    fastcolor.check_range(torch.stack([one, one * torch.nan]), "luma")
    with pytest.raises(ValueError, match=r"^luma: expected values in \[0, 1\], got 2 to 2"):
        fastcolor.check_range(2 * one, "luma")
