"""The comparators reject what they must: a float32 model of a kernel passes, each planted error in it does not."""

from __future__ import annotations

from typing import Any

import compare
import numpy as np
import pytest
import strategies
from fastcolor.reference.constants import LUMA, U_SCALE, V_SCALE

from fastcolor import reference

F = np.float32
BINS = strategies.make_bins(np.random.default_rng(7), 32, 17)
T = 0.38
SHAPE = (33, 47)


def model_chroma(logits: Any, temperature: float = T, bug: str = "") -> Any:
    """What a correct float32 kernel computes, (n, H, W) -> (2, H, W), with one planted bug."""
    x = logits.astype(F)
    with np.errstate(over="ignore", invalid="ignore"):
        if bug != "no max subtraction":
            x = x - x.max(axis=0)
        x = x / F(temperature)
        if bug == "temperature twice":
            x = x / F(temperature)
        w = np.exp(x)
        colors = BINS.colors[::-1] if bug == "wrong bin order" else BINS.colors
        if bug == "off-by-one bin":
            colors = np.roll(BINS.colors, 1, axis=0)
        chroma = np.einsum("bhw,bc->chw", w, colors).astype(F) / w.sum(axis=0)
    if bug == "missing last row":
        chroma[:, -1] = 0
    if bug == "stale buffer":
        chroma[:, 16:20] = chroma[:, 0:4]
    if bug == "swapped axes":
        chroma = np.ascontiguousarray(chroma.swapaxes(1, 2)).reshape(chroma.shape)
    return chroma[::-1] if bug == "swapped U and V" else chroma


def model_rgb(luma: Any, chroma: Any, bug: str = "") -> Any:
    """What a correct float32 kernel makes of luma and chroma, (H, W, 3) uint8."""
    u, v = chroma
    red, blue = luma + v / F(V_SCALE), luma + u / F(U_SCALE)
    green = (luma - F(LUMA[0]) * red - F(LUMA[2]) * blue) / F(LUMA[1])
    levels = F(255) * np.clip(np.stack([red, green, blue], axis=-1), 0, 1)
    if bug == "half to even":
        return np.rint(levels).astype(np.uint8)
    if bug == "truncated":
        return levels.astype(np.uint8)
    rgb = np.floor(levels + F(0.5)).astype(np.uint8)
    if bug == "one level off":
        rgb = np.where(rgb == 255, 254, rgb + 1).astype(np.uint8)
    return rgb[..., ::-1] if bug == "BGR" else rgb


CHROMA_BUGS = (
    "no max subtraction", "wrong bin order", "off-by-one bin", "missing last row", "stale buffer", "swapped axes",
    "temperature twice", "swapped U and V",
)  # fmt: skip
RGB_BUGS = ("truncated", "one level off", "BGR")

# The bounds of the GPU's exponentials are wider: they have to reject the same bugs.
of_every_arithmetic = pytest.mark.parametrize(
    "arithmetic", [compare.FLOAT32, compare.APPROXIMATE, compare.LIBDEVICE], ids=["float32", "approximate", "libdevice"]
)


def wide_logits(seed: int = 0) -> Any:
    """Standard deviation 10: what a network gives where it is sure; without max subtraction some pixels overflow."""
    return strategies.make_logits(np.random.default_rng(seed), "normal10", BINS.n, SHAPE)


@pytest.mark.parametrize("kind", strategies.LOGITS)
@pytest.mark.parametrize("temperature", [0.05, 0.38, 1.0, 4.0])
def test_chroma_accepts_float32_arithmetic(kind: str, temperature: float) -> None:
    logits = strategies.make_logits(np.random.default_rng(1), kind, BINS.n, SHAPE)
    with np.errstate(invalid="ignore"):
        chroma = model_chroma(logits, temperature)
    chroma[:, ~np.isfinite(logits.max(axis=0))] = np.nan
    compare.assert_chroma_close(chroma, logits, BINS, temperature=temperature)


@of_every_arithmetic
@pytest.mark.parametrize("bug", CHROMA_BUGS)
def test_chroma_rejects(bug: str, arithmetic: compare.Arithmetic) -> None:
    logits = wide_logits()
    with pytest.raises(AssertionError, match="chroma: "):
        compare.assert_chroma_close(model_chroma(logits, bug=bug), logits, BINS, temperature=T, arithmetic=arithmetic)


def pulled(logits: Any, error: float) -> Any:
    """The chroma of weights that are all wrong by a share `error`, each to the side that moves U most."""
    w = np.exp((logits - logits.max(axis=0)) / T)
    side = np.sign(BINS.colors[:, 0, None, None] - reference.annealed_mean(logits, BINS, temperature=T)[0])
    w = w * (1 + error * side)
    return (np.einsum("bhw,bc->chw", w, BINS.colors.astype(np.float64)) / w.sum(axis=0)).astype(F)


@pytest.mark.parametrize("arithmetic", [compare.APPROXIMATE, compare.LIBDEVICE], ids=["approximate", "libdevice"])
def test_chroma_allows_the_exponential_its_documented_error_and_no_half_precision_one(
    arithmetic: compare.Arithmetic,
) -> None:
    logits = wide_logits()
    compare.assert_chroma_close(pulled(logits, arithmetic.exp), logits, BINS, temperature=T, arithmetic=arithmetic)
    for error in (2.0**-11, 2.0**-16):
        with pytest.raises(AssertionError, match="chroma: "):
            compare.assert_chroma_close(pulled(logits, error), logits, BINS, temperature=T, arithmetic=arithmetic)


def test_only_results_of_a_gpu_have_the_bounds_of_a_gpu() -> None:
    assert compare.arithmetic_of("numba") is compare.FLOAT32
    assert compare.arithmetic_of("cuda-host").exp == compare.FLOAT32.exp, "a GPU's sources, compiled for the CPU"
    assert compare.arithmetic_of("cupy") is compare.APPROXIMATE
    assert compare.APPROXIMATE.exp == 2.0**-22 < 2 * compare.FLOAT32.exp


def test_chroma_rejects_a_single_pixel_beyond_the_bound() -> None:
    logits = wide_logits()
    chroma = model_chroma(logits)
    chroma[0, 5, 6] += 2e-5
    with pytest.raises(AssertionError, match=r"1 of 3102 differ; first at \(5, 6, 0\)"):
        compare.assert_chroma_close(chroma, logits, BINS, temperature=T)


def test_chroma_rejects_nan_and_its_absence() -> None:
    logits = wide_logits()
    chroma = model_chroma(logits)
    chroma[:, 2, 3] = np.nan
    with pytest.raises(AssertionError, match="chroma: 2 of"):
        compare.assert_chroma_close(chroma, logits, BINS, temperature=T)
    broken = logits.copy()
    broken[4, 1, 1] = np.nan
    with pytest.raises(AssertionError, match="chroma: 2 of"):
        compare.assert_chroma_close(model_chroma(logits), broken, BINS, temperature=T)


def model_gradient(g: Any, logits: Any, temperature: float = T, bug: str = "") -> Any:
    """What a correct float32 kernel computes for `g` (2, H, W), in the order of its operations, with a planted bug."""
    x, g = logits.astype(F), (g[::-1] if bug == "swapped U and V" else g).astype(F)
    colors = np.roll(BINS.colors, 1, axis=0) if bug == "off-by-one bin" else BINS.colors
    scale = F(1 if bug == "no temperature in the softmax" else 1 / temperature)
    with np.errstate(invalid="ignore", over="ignore"):
        w = np.exp((x - x.max(axis=0)) * scale)
        if bug in ROUGH:
            w = w * (1 + F(ROUGH[bug]) * np.sign(np.cos(np.arange(len(w)))[:, None, None])).astype(F)
        slope = np.stack([color[0] * g[0] + color[1] * g[1] for color in colors])
        total, mean = np.zeros_like(g[0]), np.zeros_like(g[0])
        for one, s in zip(w, slope, strict=True):
            total, mean = total + one, mean + one * s
        inverse = F(1) / total
        mean = F(0) if bug == "no mean" else mean * inverse
        share = inverse * F(1 if bug == "not divided by T" else 1 / temperature)
        gradient = w * share * (slope - mean)
    if bug == "stale buffer":
        gradient[:, 16:20] = gradient[:, 0:4]
    if bug == "missing last row":
        gradient[:, -1] = 0
    return -gradient if bug == "sign" else gradient


ROUGH = {"weights in half precision": 2.0**-11, "weights of 16 bits": 2.0**-16}
GRADIENT_BUGS = (
    "swapped U and V", "off-by-one bin", "no temperature in the softmax", "no mean", "not divided by T", "stale buffer",
    "missing last row", "sign", *ROUGH,
)  # fmt: skip


def upstream() -> Any:
    return np.random.default_rng(10).standard_normal((2, *SHAPE)).astype(F)


@pytest.mark.parametrize("kind", strategies.LOGITS)
@pytest.mark.parametrize("temperature", [0.05, 0.38, 1.0, 4.0])
def test_gradient_accepts_float32_arithmetic(kind: str, temperature: float) -> None:
    logits, g = strategies.make_logits(np.random.default_rng(1), kind, BINS.n, SHAPE), upstream()
    gradient = model_gradient(g, logits, temperature)
    gradient[:, ~np.isfinite(logits.max(axis=0))] = np.nan
    compare.assert_annealed_gradient_close(gradient, g, logits, BINS, temperature=temperature)


@of_every_arithmetic
@pytest.mark.parametrize("bug", GRADIENT_BUGS)
def test_gradient_rejects(bug: str, arithmetic: compare.Arithmetic) -> None:
    logits, g = strategies.make_logits(np.random.default_rng(1), "normal3", BINS.n, SHAPE), upstream()
    with pytest.raises(AssertionError, match="gradient: "):
        compare.assert_annealed_gradient_close(
            model_gradient(g, logits, bug=bug), g, logits, BINS, temperature=T, arithmetic=arithmetic
        )


@of_every_arithmetic
def test_gradient_rejects_a_factor_and_a_single_entry(arithmetic: compare.Arithmetic) -> None:
    """The bound follows each bin: an entry of an improbable one may err by no more than its own share."""
    logits, g = strategies.make_logits(np.random.default_rng(1), "normal3", BINS.n, SHAPE), upstream()
    right = model_gradient(g, logits)
    single = right.copy()
    improbable = np.unravel_index(np.abs(right).argmin(), right.shape)
    single[improbable] += np.abs(right).max() * 1e-6
    for wrong in (right * F(1 + 2e-5), single):
        with pytest.raises(AssertionError, match="gradient: "):
            compare.assert_annealed_gradient_close(wrong, g, logits, BINS, temperature=T, arithmetic=arithmetic)


@of_every_arithmetic
@pytest.mark.parametrize("bug", CHROMA_BUGS)
def test_decoded_rejects_a_bug_in_the_chroma(bug: str, arithmetic: compare.Arithmetic) -> None:
    logits, luma = wide_logits(), np.random.default_rng(2).random(SHAPE, dtype=F)
    with np.errstate(invalid="ignore"):
        rgb = model_rgb(luma, model_chroma(logits, bug=bug))
    compare.assert_decoded(model_rgb(luma, model_chroma(logits)), logits, luma, BINS, temperature=T)
    with pytest.raises(AssertionError, match="rgb: "):
        compare.assert_decoded(rgb, logits, luma, BINS, temperature=T, arithmetic=arithmetic)


@of_every_arithmetic
@pytest.mark.parametrize("bug", RGB_BUGS)
def test_decoded_rejects_a_bug_in_the_rounding(bug: str, arithmetic: compare.Arithmetic) -> None:
    logits, luma = wide_logits(), np.random.default_rng(2).random(SHAPE, dtype=F)
    rgb = model_rgb(luma, model_chroma(logits), bug)
    with pytest.raises(AssertionError, match="rgb: "):
        compare.assert_decoded(rgb, logits, luma, BINS, temperature=T, arithmetic=arithmetic)


def test_half_to_even_differs_only_where_both_round_up() -> None:
    """``255 y`` is an exact tie for one float32 y only, 127.5, whose even neighbour is the upper one.

    So half-to-even in place of ``floor(x + 0.5)`` cannot be told apart here; test_reference does it in float64.
    """
    near = ((np.arange(255) + 0.5) / 255).astype(F)
    candidates = np.concatenate([near, np.nextafter(near, F(0)), np.nextafter(near, F(1))]).astype(np.float64)
    ties = candidates[(255 * candidates) % 1 == 0.5]
    assert ties.tolist() == [0.5]
    assert model_rgb(F(0.5), np.zeros(2, F), "half to even").tolist() == model_rgb(F(0.5), np.zeros(2, F)).tolist()


def test_chroma_rejects_an_epsilon_under_the_logarithm() -> None:
    """``log(p + 1e-8)``, as in the ColorUNet authors' code, lifts improbable bins: worst at high temperatures."""
    logits = wide_logits()
    compare.assert_chroma_close(model_chroma(logits, 4.0), logits, BINS, temperature=4.0)
    bent = np.log(reference.softmax(logits) + 1e-8)
    with pytest.raises(AssertionError, match="chroma: "):
        compare.assert_chroma_close(model_chroma(bent, 4.0), logits, BINS, temperature=4.0)


def test_encoded_rejects() -> None:
    rgb = strategies.make_rgb(np.random.default_rng(3), "uniform", SHAPE)
    luma, labels, weights = (
        part.astype(d) for part, d in zip(reference.encode(rgb, BINS), (F, np.uint8, F), strict=True)
    )
    compare.assert_encoded((luma, labels, weights), rgb, BINS, 0.2)
    off_by_one = labels.copy()
    off_by_one[7, 7] = (off_by_one[7, 7] + 1) % BINS.n
    stale = luma.copy()
    stale[-1] = 0
    planted = {
        "labels": [
            (luma, off_by_one, weights),
            (luma, np.ascontiguousarray(labels.T).reshape(labels.shape), weights),
            (luma, reference.encode(rgb[..., ::-1], BINS)[1], weights),
        ],
        "luma": [(stale, labels, weights), (luma * F(1 + 1e-6), labels, weights), (luma.T, labels, weights)],
        "weights": [(luma, labels, np.roll(weights, 1)), (luma, labels, BINS.weights(0.5)[labels].astype(F))],
    }
    for what, results in planted.items():
        for result in results:
            with pytest.raises(AssertionError, match=f"{what}: "):
                compare.assert_encoded(result, rgb, BINS, 0.2)


def test_float_labels_may_cross_an_edge_only_beside_it() -> None:
    bins = reference.ColorBins(np.arange(4, dtype=np.uint8).reshape(2, 2), np.zeros((4, 2), F), np.full(4, 0.25))
    on_edge = np.array([[0.3, 0.3, 0.3]])  # K = 2: gray is the corner of all four cells
    for label in range(4):
        compare.assert_labels_match(np.array([label]), on_edge, bins)
    beside = np.array([[0.3, 0.3, 0.30001]])  # a little blue: U is positive, V a little negative
    compare.assert_labels_match(np.array([2]), beside, bins)
    for label in (0, 1, 3):
        with pytest.raises(AssertionError, match="labels: 1 of 1"):
            compare.assert_labels_match(np.array([label]), beside, bins)


def test_histogram_rejects() -> None:
    """Pixels on an edge may lie on either side of it; they are no excuse for the others."""
    rng = np.random.default_rng(9)
    colors = 0.9 * rng.random((500, 3)) * [1.0, 0.5, 0.5] + [0.1, 0.0, 0.0]
    rgb = np.concatenate([colors, np.repeat(rng.random((40, 1)), 3, axis=1)])  # grays: K = 16 has a corner there
    right = reference.histogram(colors, 16)
    for grays in ((7, 7), (7, 8), (8, 7), (8, 8)):
        counts = right.copy()
        counts[grays] += 40
        compare.assert_histogram_close(counts, rgb, 16)
    full = np.unravel_index(right.argmax(), right.shape)
    moved, lost, twice, far = (counts.copy() for _ in range(4))
    moved[full] -= 1
    moved[full[0], full[1] - 1] += 1
    lost[full] -= 1
    twice[7, 7] += 40
    far[8, 8] -= 40
    far[9, 9] += 40
    for wrong in (moved, lost, twice, far, counts.T, np.zeros_like(counts)):
        with pytest.raises(AssertionError, match=r"(counts|the number of pixels): "):
            compare.assert_histogram_close(wrong, rgb, 16)


def test_histograms_of_uint8_have_no_tolerance() -> None:
    gray = np.full((10, 3), 77, np.uint8)
    right = reference.histogram(gray, 16)
    compare.assert_histogram_close(right, gray, 16)
    with pytest.raises(AssertionError, match="counts: 2 of 256"):
        compare.assert_histogram_close(np.roll(right, 1), gray, 16)


def test_labels_of_uint8_have_no_tolerance() -> None:
    bins = reference.ColorBins(np.arange(4, dtype=np.uint8).reshape(2, 2), np.zeros((4, 2), F), np.full(4, 0.25))
    gray = np.full((1, 3), 77, np.uint8)
    compare.assert_labels_match(np.array([3]), gray, bins)
    with pytest.raises(AssertionError, match="labels: 1 of 1"):
        compare.assert_labels_match(np.array([2]), gray, bins)


def test_merged_rejects() -> None:
    rng = np.random.default_rng(4)
    chroma, luma = rng.uniform(-0.3, 0.3, (2, 5, 7)).astype(F), rng.random((31, 40), dtype=F)
    right = reference.merge(chroma, luma)
    compare.assert_merged(right, chroma, luma)
    corners = (np.arange(31) * 4 / 30).round().astype(int), (np.arange(40) * 6 / 39).round().astype(int)
    aligned = reference.join(luma, np.moveaxis(chroma[:, corners[0][:, None], corners[1]], 0, -1))
    for wrong in (aligned, reference.merge(chroma[::-1], luma), np.roll(right, 1, axis=0), right[..., ::-1]):
        with pytest.raises(AssertionError, match="rgb: "):
            compare.assert_merged(wrong, chroma, luma)


@of_every_arithmetic
def test_confidence_rejects(arithmetic: compare.Arithmetic) -> None:
    logits = strategies.make_logits(np.random.default_rng(5), "normal3", BINS.n, SHAPE)
    top, ratio = (part.astype(F) for part in reference.confidence(logits))
    compare.assert_confidence_close(top, ratio, logits)
    annealed, annealed_ratio = reference.confidence(logits / T)
    third = np.exp(np.sort(logits, axis=0)[-1] - np.sort(logits, axis=0)[-3])
    for wrong_top, wrong_ratio in (
        (annealed, ratio), (top, annealed_ratio), (top, third), (top, 1 / ratio), (top * F(1 + 1e-5), ratio),
        (top, ratio * F(1 + 3e-5)), (np.roll(top, 1, 0), ratio), (top, np.full_like(ratio, np.inf)),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match=r"(top|ratio): "):
            compare.assert_confidence_close(wrong_top, wrong_ratio, logits, arithmetic=arithmetic)


def test_confidence_rejects_a_lost_tie() -> None:
    logits = np.array([2.0, 1.0, 2.0])[:, None, None]
    top, ratio = reference.confidence(logits)
    assert ratio == 1.0
    with pytest.raises(AssertionError, match="ratio: "):
        compare.assert_confidence_close(top, np.exp(ratio), logits)  # the second must be the other 2, not the 1


def smoothed(frames: Any, luma: Any, *, alpha: float, window: int) -> tuple[Any, Any]:
    """What a correct smoother gives after the last frame: RGB and probabilities."""
    smoother = reference.TemporalSmoother(BINS, alpha=alpha, window=window, temperature=T)
    for x in frames:
        rgb = smoother.step(x, luma)
    return rgb, smoother.probabilities.astype(F)


@of_every_arithmetic
def test_smoothing_rejects(arithmetic: compare.Arithmetic) -> None:
    rng = np.random.default_rng(6)
    frames = [strategies.make_logits(rng, "normal3", BINS.n, (9, 11)) for _ in range(6)]
    luma = rng.random((9, 11), dtype=F)
    truth = compare.SmoothedTruth(BINS, alpha=0.2, window=3, temperature=T, arithmetic=arithmetic)
    for x in frames:
        truth.step(x)
    right = smoothed(frames, luma, alpha=0.2, window=3)
    truth.assert_rgb(right[0], luma)
    truth.assert_probabilities(right[1])
    wrong = {
        "a longer window": smoothed(frames, luma, alpha=0.2, window=4),
        "a shorter window": smoothed(frames, luma, alpha=0.2, window=2),
        "another decay": smoothed(frames, luma, alpha=0.21, window=3),
        "a frame lost": smoothed(frames[:-1], luma, alpha=0.2, window=3),
        "frames swapped": smoothed([*frames[:-2], frames[-1], frames[-2]], luma, alpha=0.2, window=3),
    }
    for rgb, probabilities in wrong.values():
        with pytest.raises(AssertionError, match="rgb: "):
            truth.assert_rgb(rgb, luma)
        with pytest.raises(AssertionError, match="probabilities: "):
            truth.assert_probabilities(probabilities)


def labelled() -> tuple[Any, Any, Any]:
    """Logits (2, n, H, W), labels and weights."""
    rng = np.random.default_rng(8)
    logits = np.stack([wide_logits(seed) for seed in (0, 1)]).astype(F)
    shape = (2, *SHAPE)
    return logits, rng.integers(0, BINS.n, shape), rng.uniform(0.1, 1.1, shape).astype(F)


@of_every_arithmetic
def test_loss_rejects(arithmetic: compare.Arithmetic) -> None:
    logits, labels, weights = labelled()

    def results(*arrays: Any) -> tuple[Any, Any]:
        loss = F(reference.weighted_cross_entropy(*arrays))
        return loss, reference.weighted_cross_entropy_gradient(*arrays).astype(F)

    loss, gradient = results(logits, labels, weights)
    compare.assert_loss_close(loss, gradient, logits, labels, weights, arithmetic=arithmetic)
    stale = gradient.copy()
    stale[1, :, -1] = 0
    unmasked = results(logits, labels, np.where(np.arange(SHAPE[1]) < 40, weights, 0))
    for wrong in (
        results(logits, np.roll(labels, 1), weights),
        results(logits, labels, np.ones_like(weights)),
        unmasked,
        (loss * F(1 + 1e-4), gradient),
        (loss, gradient * F(1 + 3e-5)),
        (loss, stale),
        (loss, gradient[:, ::-1]),
    ):
        with pytest.raises(AssertionError, match=r"(loss|gradient): "):
            compare.assert_loss_close(*wrong, logits, labels, weights, arithmetic=arithmetic)
